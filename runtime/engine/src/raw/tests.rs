//! The lanes against one another, on random signatures and memories, and on those that the fuzzer found.

use super::check::{self, Load, Source};
use super::oracle::{Tally, agree};
use super::plan::Plan;
use super::text::Encoding;
use proptest::prelude::*;
use station_model::{Code, Failure, Function, Type};
use std::sync::Arc;

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, max_shrink_iters: 400, ..ProptestConfig::default() })]

    #[test]
    fn every_lane_comes_to_the_same(bytes in proptest::collection::vec(any::<u8>(), 0..2_000)) {
        agree(&bytes);
    }
}

#[test]
fn most_random_calls_go_well_and_some_do_not() {
    let mut tally = Tally::default();
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    for _ in 0..60 {
        let bytes: Vec<u8> = (0..1_500)
            .map(|_| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                (state >> 56) as u8
            })
            .collect();
        let one = agree(&bytes);
        tally = Tally {
            good: tally.good + one.good,
            refused: tally.refused + one.refused,
            skipped: tally.skipped + one.skipped,
        };
    }
    assert!(tally.good > 100 && tally.refused > 20 && tally.skipped < tally.good, "{tally:?}");
}

/// What the fuzzer kept: each leads somewhere that no other does.
#[test]
fn every_lane_comes_to_the_same_on_what_the_fuzzer_kept() {
    let corpus = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/lanes");
    let files: Vec<_> = std::fs::read_dir(corpus).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert!(!files.is_empty());
    for file in files {
        agree(&std::fs::read(file).unwrap());
    }
}

#[test]
fn overlapping_lists_are_no_way_around_the_cap() {
    let bytes = Type::List(Arc::new(Type::U8));
    let function =
        Function { name: "f".to_owned(), params: vec![("p".to_owned(), Type::List(Arc::new(bytes)))], result: None };
    let plan = Plan::of(&function).unwrap();
    // A hundred pairs of pointer and length, each of which is the whole memory.
    let memory = [0_u32, 800].iter().cycle().take(200).flat_map(|word| word.to_le_bytes()).collect::<Vec<u8>>();
    let source = Source { memory: &memory, encoding: Encoding::Utf8 };
    let load = |bytes_max| {
        let mut load = Load { bytes_max, ..Load::default() };
        check::flat(&plan.params, source, &[0, 100], &mut load).map(|()| load)
    };
    assert_eq!(load(1 << 20).unwrap().bytes, 80_800);
    let failure = load(80_000).unwrap_err();
    assert_eq!(failure.downcast_ref::<Failure>().unwrap().code, Code::CallResourceLimit);
}

#[test]
fn only_numbers_without_gaps_are_copied_as_a_whole() {
    let plain = |types: &[Type]| {
        let params = types.iter().map(|ty| ("p".to_owned(), ty.clone())).collect();
        Plan::of(&Function { name: "f".to_owned(), params, result: None }).unwrap().params.plain
    };
    assert!(plain(&[Type::U32, Type::F32, Type::U64]));
    assert!(!plain(&[Type::U8, Type::U32]), "a gap");
    assert!(!plain(&[Type::U32, Type::U8]), "a gap at the end");
    assert!(!plain(&[Type::U8, Type::Bool]) && !plain(&[Type::Char]), "not every byte is one");
}
