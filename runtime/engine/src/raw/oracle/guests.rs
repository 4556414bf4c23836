//! Two components for a signature, as text: one that calls and one that is called.
//!
//! Neither knows its own types: the caller passes the words and the memory that it was given (`go`), the callee hands its
//! arguments on to the host (`sink`) and answers with what it was given before (`prime`). Both tell the host of every
//! word and byte that they got (`seen`): wasmtime would normalise much of it when it lifts. The host finds their memories
//! by their calls of `here`, and nobody is ever to come `out`.

use super::super::text::Encoding;
use super::memory::BASE;
use station_model::{Function, Type};
use std::fmt::Write;

/// Where the caller has its results put.
const RESULT: usize = 0x8000;
/// Words of the result that are told of.
const RESULT_WORDS: usize = 64;
/// Where the callee keeps its flat arguments.
const WORDS: usize = 0x100;
/// What the host does for both of them.
const HOST: &str = r#"
    (import "seen" (func $seen (param "words" (list u64)) (param "memory" (list u8))))
    (import "here" (func $here))
    (import "out" (func $out))"#;
const WITH_HOST: &str = r#"(with "seen" (func $seen)) (with "here" (func $here)) (with "out" (func $out))"#;
/// Where the allocator begins.
const HEAP: usize = 0x2_0000;
const PAGES_MAX: usize = 512;
/// Bytes from the image on that the callee fills when it is asked to clean up.
pub(super) const CLEANED: usize = 0x8000;

/// How a guest is built.
#[derive(Debug, Clone, Copy)]
pub(super) struct Guest {
    pub(super) encoding: Encoding,
    pub(super) allocator: Allocator,
}

/// How a guest's `realloc` behaves once the call has begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Allocator {
    /// Well; it may grow the memory each time, which moves it.
    Works {
        grows: bool,
    },
    Unaligned,
    OutOfRange,
    Traps,
    /// It says the same place each time.
    Overlaps,
    /// It calls an import.
    Leaves {
        by: Door,
    },
}

impl Allocator {
    /// Who serves what it calls.
    pub(super) fn door(self) -> Option<Door> {
        match self {
            Self::Leaves { by } => Some(by),
            _ => None,
        }
    }

    /// True when what comes of a call depends on what it is asked for first, and not only on whether it is asked.
    pub(super) fn knows_order(self) -> bool {
        !matches!(self, Self::Works { .. } | Self::Leaves { .. })
    }
}

/// Who serves an import that `realloc` calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Door {
    /// The host itself, as it serves clocks.
    Host,
    /// Another module, through the lane.
    Module,
}

/// The component that calls.
pub(super) fn caller(function: &Function, guest: Guest) -> String {
    let (types, shape) = (Types::of(function), Shape::of(function));
    let words: String = (0..shape.params.len()).map(|at| shape.load(at)).collect();
    let (mut local, mut keep) = (String::new(), String::new());
    let (pointer, answer) = match shape.result {
        Back::Nothing => (String::new(), String::new()),
        Back::Flat(one) => {
            local = format!("(local $result {one})");
            let word = widen(one, "(local.get $result)");
            keep = format!("(local.set $result) (i64.store (i32.const {RESULT}) {word})");
            (String::new(), "(local.get $result)".to_owned())
        }
        Back::Memory => (format!("(i32.const {RESULT})"), format!("(i32.const {RESULT})")),
    };
    format!(
        r#"{types}
        (import "f" (func $f {signature}))
        {HOST}
        {memory}
        (core func $lowered (canon lower (func $f) {options}))
        (core func $seen' (canon lower (func $seen) {options}))
        (core func $here' (canon lower (func $here) {options}))
        (core module $main
            (import "mem" "memory" (memory 4))
            (import "mem" "arm" (func $arm))
            (import "mem" "top" (global $top (mut i32)))
            (import "env" "f" (func $f {import}))
            (import "env" "seen" (func $seen (param i32 i32 i32 i32)))
            (import "env" "here" (func $here))
            (func (export "go") (param $words i32) (param $count i32) (param $image i32) (param $len i32) {result}
                {local}
                (call $here)
                (memory.copy (i32.const {BASE}) (local.get $image) (local.get $len))
                (call $arm)
                (call $f {words} {pointer})
                {keep}
                (call $seen (i32.const {RESULT}) (i32.const {RESULT_WORDS})
                    (i32.const {HEAP}) (i32.sub (global.get $top) (i32.const {HEAP})))
                {answer}))
        (core instance $main (instantiate $main
            (with "mem" (instance $mem))
            (with "env" (instance (export "f" (func $lowered)) (export "seen" (func $seen')) (export "here" (func $here'))))))
        (func $go (param "words" (list u64)) (param "image" (list u8)) {wit_result}
            (canon lift (core func $main "go") {options}))
        (export "go" (func $go))"#,
        types = types.imports,
        signature = types.signature(),
        wit_result = types.result(),
        memory = memory(guest),
        options = options(guest),
        import = shape.lowered(),
        result = shape.result.lifted(),
    )
}

/// The component that is called.
pub(super) fn callee(function: &Function, guest: Guest) -> String {
    let (types, shape) = (Types::of(function), Shape::of(function));
    let params = shape.params.join(" ");
    let args: String = (0..shape.params.len()).map(|at| format!("(local.get {at})")).collect();
    let kept = shape.params.iter().enumerate().map(|(at, ty)| {
        let word = widen(ty, &format!("(local.get {at})"));
        format!("(i64.store (i32.const {}) {word})", WORDS + 8 * at)
    });
    let (kept, count): (String, _) = (kept.collect(), shape.params.len());
    format!(
        r#"{types}
        (import "sink" (func $sink {parameters}))
        {HOST}
        {memory}
        (core func $lowered (canon lower (func $sink) {options}))
        (core func $seen' (canon lower (func $seen) {options}))
        (core func $here' (canon lower (func $here) {options}))
        (core module $main
            (import "mem" "memory" (memory 4))
            (import "mem" "arm" (func $arm))
            (import "mem" "top" (global $top (mut i32)))
            (import "env" "sink" (func $sink (param {params})))
            (import "env" "seen" (func $seen (param i32 i32 i32 i32)))
            (import "env" "here" (func $here))
            (global $answer (mut i64) (i64.const 0))
            (func (export "prime") (param $words i32) (param $count i32) (param $image i32) (param $len i32)
                (call $here)
                (memory.copy (i32.const {BASE}) (local.get $image) (local.get $len))
                (if (local.get $count) (then (global.set $answer (i64.load (local.get $words)))))
                (call $arm))
            (func (export "f") (param {params}) {result}
                {kept}
                (call $seen (i32.const {WORDS}) (i32.const {count})
                    (i32.const {HEAP}) (i32.sub (global.get $top) (i32.const {HEAP})))
                (call $sink {args})
                {answer})
            (func (export "clean") {cleaned}
                (memory.fill (i32.const {BASE}) (i32.const 0xee) (i32.const {CLEANED}))))
        (core instance $main (instantiate $main
            (with "mem" (instance $mem))
            (with "env" (instance (export "sink" (func $lowered)) (export "seen" (func $seen')) (export "here" (func $here'))))))
        (func $f {signature} (canon lift (core func $main "f") {options} (post-return (func $main "clean"))))
        (func $prime (param "words" (list u64)) (param "image" (list u8))
            (canon lift (core func $main "prime") {options}))
        (export "f" (func $f))
        (export "prime" (func $prime))"#,
        types = types.imports,
        parameters = types.parameters(),
        signature = types.signature(),
        memory = memory(guest),
        options = options(guest),
        result = shape.result.lifted(),
        answer = shape.result.convert_word("(global.get $answer)"),
        cleaned = shape.result.lifted().replace("result", "param"),
    )
}

/// Both in one component, joined by wasmtime's own adapters.
pub(super) fn composed(function: &Function, caller: &str, callee: &str) -> String {
    let types = Types::of(function);
    let with: String = (0..types.named).map(|at| format!("(with \"t{at}\" (type $n{at}))")).collect();
    format!(
        r#"{imports}
        (import "sink" (func $sink {parameters}))
        {HOST}
        (component $caller {caller})
        (component $callee {callee})
        (instance $callee (instantiate $callee {with} (with "sink" (func $sink)) {WITH_HOST}))
        (instance $caller (instantiate $caller {with} (with "f" (func $callee "f")) {WITH_HOST}))
        (export "go" (func $caller "go"))
        (export "prime" (func $callee "prime"))"#,
        imports = types.imports,
        parameters = types.parameters(),
    )
}

fn options(guest: Guest) -> String {
    let encoding = match guest.encoding {
        Encoding::Utf8 => "utf8",
        Encoding::Utf16 => "utf16",
        Encoding::Compact => "latin1+utf16",
    };
    format!(r#"(memory $mem "memory") (realloc (func $mem "realloc")) string-encoding={encoding}"#)
}

fn memory(guest: Guest) -> String {
    let armed = match guest.allocator {
        Allocator::Works { grows: false } => "",
        Allocator::Works { grows: true } => "(drop (memory.grow (i32.const 1)))",
        Allocator::Unaligned => "(return (i32.add (local.get $at) (i32.const 1)))",
        Allocator::OutOfRange => "(return (i32.const 0x7ffffff8))",
        Allocator::Traps => "unreachable",
        Allocator::Overlaps => "(return (i32.const 0x10000))",
        Allocator::Leaves { .. } => "(call $out)",
    };
    format!(
        r#"(core func $out' (canon lower (func $out)))
        (core module $mem
            (import "env" "out" (func $out))
            (memory (export "memory") 4 {PAGES_MAX})
            (global $top (export "top") (mut i32) (i32.const {HEAP}))
            (global $armed (mut i32) (i32.const 0))
            (func (export "arm") (global.set $armed (i32.const 1)))
            (func (export "realloc") (param $old i32) (param $old-size i32) (param $align i32) (param $size i32)
                (result i32)
                (local $at i32)
                (if (i32.gt_u (local.get $size) (i32.const 0x1000000)) (then unreachable))
                (local.set $at (i32.and
                    (i32.add (global.get $top) (i32.sub (local.get $align) (i32.const 1)))
                    (i32.sub (i32.const 0) (local.get $align))))
                (global.set $top (i32.add (local.get $at) (local.get $size)))
                (loop $more
                    (if (i32.gt_u (global.get $top) (i32.mul (memory.size) (i32.const 0x10000))) (then
                        (if (i32.eq (memory.grow (i32.const 1)) (i32.const -1)) (then unreachable))
                        (br $more))))
                (if (global.get $armed) (then {armed}))
                (if (i32.gt_u (local.get $old-size) (local.get $size))
                    (then (local.set $old-size (local.get $size))))
                (memory.copy (local.get $at) (local.get $old) (local.get $old-size))
                (local.get $at)))
        (core instance $mem (instantiate $mem (with "env" (instance (export "out" (func $out'))))))"#
    )
}

/// The core form of a signature.
struct Shape {
    params: Vec<&'static str>,
    result: Back,
}

/// How a result comes back.
enum Back {
    Nothing,
    Flat(&'static str),
    Memory,
}

impl Shape {
    fn of(function: &Function) -> Self {
        let mut params: Vec<_> = function.params.iter().flat_map(|(_, ty)| flat(ty)).collect();
        if params.len() > 16 {
            params = vec!["i32"];
        }
        let result = match function.result.as_ref().map(flat).as_deref() {
            None => Back::Nothing,
            Some([one]) => Back::Flat(one),
            Some(_) => Back::Memory,
        };
        Self { params, result }
    }

    /// What the import of the caller looks like.
    fn lowered(&self) -> String {
        let params = self.params.join(" ");
        match self.result {
            Back::Nothing => format!("(param {params})"),
            Back::Flat(one) => format!("(param {params}) (result {one})"),
            Back::Memory => format!("(param {params} i32)"),
        }
    }

    /// The word at this place as a flat parameter.
    fn load(&self, at: usize) -> String {
        let word = format!("(i64.load offset={} (local.get $words))", at * 8);
        self.params.get(at).map_or(String::new(), |ty| convert(ty, &word))
    }
}

impl Back {
    fn lifted(&self) -> String {
        match self {
            Self::Nothing => String::new(),
            Self::Flat(one) => format!("(result {one})"),
            Self::Memory => "(result i32)".to_owned(),
        }
    }

    fn convert_word(&self, word: &str) -> String {
        match self {
            Self::Nothing => String::new(),
            Self::Flat(one) => convert(one, word),
            Self::Memory => convert("i32", word),
        }
    }
}

fn convert(ty: &str, word: &str) -> String {
    match ty {
        "i32" => format!("(i32.wrap_i64 {word})"),
        "f32" => format!("(f32.reinterpret_i32 (i32.wrap_i64 {word}))"),
        "f64" => format!("(f64.reinterpret_i64 {word})"),
        _ => word.to_owned(),
    }
}

fn widen(ty: &str, value: &str) -> String {
    match ty {
        "i32" => format!("(i64.extend_i32_u {value})"),
        "f32" => format!("(i64.extend_i32_u (i32.reinterpret_f32 {value}))"),
        "f64" => format!("(i64.reinterpret_f64 {value})"),
        _ => value.to_owned(),
    }
}

/// The flat form of a type.
fn flat(ty: &Type) -> Vec<&'static str> {
    match ty {
        Type::F32 => vec!["f32"],
        Type::F64 => vec!["f64"],
        Type::U64 | Type::S64 => vec!["i64"],
        Type::String | Type::List(_) => vec!["i32", "i32"],
        Type::Record(fields) => fields.iter().flat_map(|(_, ty)| flat(ty)).collect(),
        Type::Tuple(types) => types.iter().flat_map(flat).collect(),
        Type::Variant(cases) => joined(cases.iter().map(|(_, ty)| ty.as_ref())),
        Type::Option(inner) => joined([Some(&**inner)].into_iter()),
        Type::Result(types) => joined([types.0.as_ref(), types.1.as_ref()].into_iter()),
        Type::Flags(names) => vec!["i32"; names.len().div_ceil(32)],
        _ => vec!["i32"],
    }
}

fn joined<'t>(cases: impl Iterator<Item = Option<&'t Type>>) -> Vec<&'static str> {
    let mut all = vec!["i32"];
    for case in cases.flatten() {
        for (at, ty) in flat(case).into_iter().enumerate() {
            match all.get_mut(at + 1) {
                None => all.push(ty),
                Some(place) if *place == ty => (),
                Some(place) if matches!((*place, ty), ("i32", "f32") | ("f32", "i32")) => *place = "i32",
                Some(place) => *place = "i64",
            }
        }
    }
    all
}

/// The types of a signature as component text. Those that need a name are imported under one.
struct Types {
    imports: String,
    named: usize,
    defined: usize,
    params: Vec<(String, String)>,
    back: Option<String>,
}

impl Types {
    fn of(function: &Function) -> Self {
        let mut types = Self { imports: String::new(), named: 0, defined: 0, params: Vec::new(), back: None };
        for (name, ty) in &function.params {
            let ty = types.name(ty);
            types.params.push((name.clone(), ty));
        }
        types.back = function.result.as_ref().map(|ty| types.name(ty));
        types
    }

    fn parameters(&self) -> String {
        self.params.iter().map(|(name, ty)| format!("(param \"{name}\" {ty})")).collect()
    }

    fn result(&self) -> String {
        self.back.iter().map(|ty| format!("(result {ty})")).collect()
    }

    fn signature(&self) -> String {
        self.parameters() + &self.result()
    }

    fn name(&mut self, ty: &Type) -> String {
        match ty {
            Type::List(inner) => {
                let inner = self.name(inner);
                self.define(&format!("(list {inner})"))
            }
            Type::Option(inner) => {
                let inner = self.name(inner);
                self.define(&format!("(option {inner})"))
            }
            Type::Tuple(types) => {
                let inner: Vec<_> = types.iter().map(|ty| self.name(ty)).collect();
                self.define(&format!("(tuple {})", inner.join(" ")))
            }
            Type::Result(types) => {
                let ok = types.0.as_ref().map(|ty| self.name(ty)).unwrap_or_default();
                let err = types.1.as_ref().map(|ty| format!("(error {})", self.name(ty))).unwrap_or_default();
                self.define(&format!("(result {ok} {err})"))
            }
            Type::Record(fields) => {
                let fields = fields.iter().map(|(name, ty)| format!("(field \"{name}\" {})", self.name(ty)));
                let fields: String = fields.collect();
                self.import(&format!("(record {fields})"))
            }
            Type::Variant(cases) => {
                let payload = |types: &mut Self, ty: &Option<Type>| ty.as_ref().map(|ty| types.name(ty));
                let cases = cases.iter().map(|(name, ty)| {
                    let payload = payload(self, ty).unwrap_or_default();
                    format!("(case \"{name}\" {payload})")
                });
                let cases: String = cases.collect();
                self.import(&format!("(variant {cases})"))
            }
            Type::Enum(names) => self.import(&format!("(enum {})", quoted(names))),
            Type::Flags(names) => self.import(&format!("(flags {})", quoted(names))),
            scalar => scalar.to_string(),
        }
    }

    fn define(&mut self, text: &str) -> String {
        let name = format!("$d{}", self.defined);
        self.defined += 1;
        let _infallible = writeln!(self.imports, "(type {name} {text})");
        name
    }

    fn import(&mut self, text: &str) -> String {
        let raw = self.define(text);
        let at = self.named;
        self.named += 1;
        let _infallible = writeln!(self.imports, "(import \"t{at}\" (type $n{at} (eq {raw})))");
        format!("$n{at}")
    }
}

fn quoted(names: &[String]) -> String {
    names.iter().map(|name| format!("\"{name}\" ")).collect()
}
