//! Components written as text: small ones that do as they are told, for tests about names, types and bytes.

use station_testkit::component;

/// The interface that most of them export.
pub(crate) const API: &str = "probe:probe/api@0.1.0";
/// Its only function.
pub(crate) const RUN: &str = "probe:probe/api#run";

/// A component that exports [`API`] with `run: func(n: u32) -> u32`, made of this core module's items, which have to
/// export `run`.
pub(crate) fn probe(items: &str) -> Vec<u8> {
    exporting(API, r#"(param "n" u32) (result u32)"#, items, "")
}

/// The same, with another interface, function type, and options of the lift.
pub(crate) fn exporting(interface: &str, ty: &str, items: &str, options: &str) -> Vec<u8> {
    component(&format!(
        r#"(component
             (core module $m {items})
             (core instance $i (instantiate $m))
             (alias core export $i "run" (core func $core-run))
             (func $run {ty} (canon lift (core func $core-run) {options}))
             (instance $api (export "run" (func $run)))
             (export "{interface}" (instance $api)))"#
    ))
}

/// A component whose `run` answers this number.
pub(crate) fn answering(number: u32) -> Vec<u8> {
    exporting(API, r#"(param "n" u32) (result u32)"#, &answer(number), "")
}

/// The core function `run` that answers this number.
pub(crate) fn answer(number: u32) -> String {
    format!(r#"(func (export "run") (param i32) (result i32) (i32.const {number}))"#)
}

/// A component that imports an interface with one function `run` of this type, and never calls it.
pub(crate) fn importing(interface: &str, ty: &str) -> Vec<u8> {
    component(&format!(r#"(component (import "{interface}" (instance (export "run" (func {ty})))))"#))
}

/// A component that exports `probe:probe/relay@0.1.0`, whose `run` calls that of an interface.
pub(crate) fn relaying(interface: &str) -> Vec<u8> {
    component(&format!(
        r#"(component
             (import "{interface}" (instance $api (export "run" (func (param "n" u32) (result u32)))))
             (alias export $api "run" (func $imported))
             (core func $lowered (canon lower (func $imported)))
             (core module $m
               (import "api" "run" (func $run (param i32) (result i32)))
               (func (export "run") (param i32) (result i32) (call $run (local.get 0))))
             (core instance $i (instantiate $m (with "api" (instance (export "run" (func $lowered))))))
             (func $run (param "n" u32) (result u32) (canon lift (core func $i "run")))
             (instance $relay (export "run" (func $run)))
             (export "probe:probe/relay@0.1.0" (instance $relay)))"#
    ))
}
