//! Text in the three encodings of the canonical ABI.
//!
//! Text is checked where it comes from and then rewritten where it must be. The engine's other lane goes through
//! UTF-8; this one goes from either encoding to either, with one allocation of exactly the size that is needed.

use super::abi;
use wasmtime::Result;

/// Set in the length of latin1+utf16 text that is UTF-16.
const UTF16_TAG: u64 = 1 << 31;

/// How a module has its text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Encoding {
    Utf8,
    Utf16,
    /// Latin-1 where that will do, UTF-16 elsewhere; the length says which.
    Compact,
}

/// Text as it is to be written: its bytes, and what its length is in the canonical ABI.
pub(super) struct Written {
    pub(super) bytes: Vec<u8>,
    pub(super) units: u64,
    pub(super) align: u32,
}

impl Encoding {
    /// Bytes and alignment of text whose length is told as `units`.
    pub(super) fn extent(self, units: u64) -> (u64, u32) {
        match self {
            Self::Utf8 => (units, 1),
            Self::Utf16 => (units * 2, 2),
            Self::Compact if units & UTF16_TAG != 0 => ((units ^ UTF16_TAG) * 2, 2),
            Self::Compact => (units, 2),
        }
    }

    fn is_utf16(self, units: u64) -> bool {
        self == Self::Utf16 || (self == Self::Compact && units & UTF16_TAG != 0)
    }
}

/// Checks the bytes of text.
pub(super) fn check(encoding: Encoding, units: u64, bytes: &[u8]) -> Result<()> {
    let good = match encoding {
        Encoding::Utf8 => std::str::from_utf8(bytes).is_ok(),
        _ if encoding.is_utf16(units) => char::decode_utf16(code_units(bytes)).all(|found| found.is_ok()),
        _ => true,
    };
    good.then_some(()).ok_or_else(|| abi("text is not what its encoding says"))
}

/// True when checked text can be copied as it is.
pub(super) fn same(from: Encoding, to: Encoding) -> bool {
    from == to && from != Encoding::Compact
}

/// Rewrites checked text. In latin1+utf16 what fits is Latin-1, as the other lane has it.
pub(super) fn rewrite(from: Encoding, units: u64, bytes: &[u8], to: Encoding) -> Result<Written> {
    let text = match from {
        Encoding::Utf8 => String::from_utf8(bytes.to_vec()).map_err(|_| abi("text is not UTF-8"))?,
        _ if from.is_utf16(units) => {
            char::decode_utf16(code_units(bytes)).collect::<Result<_, _>>().map_err(|_| abi("text is not UTF-16"))?
        }
        _ => bytes.iter().map(|byte| char::from(*byte)).collect(),
    };
    Ok(encode(&text, to))
}

pub(super) fn encode(text: &str, to: Encoding) -> Written {
    let latin: Option<Vec<u8>> = match to {
        Encoding::Utf8 => {
            return Written { bytes: text.as_bytes().to_vec(), units: text.len() as u64, align: 1 };
        }
        Encoding::Utf16 => None,
        Encoding::Compact => text.chars().map(|c| u8::try_from(u32::from(c)).ok()).collect(),
    };
    if let Some(bytes) = latin {
        return Written { units: bytes.len() as u64, bytes, align: 2 };
    }
    let bytes: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let tag = if to == Encoding::Compact { UTF16_TAG } else { 0 };
    Written { units: (bytes.len() as u64 / 2) | tag, bytes, align: 2 }
}

fn code_units(bytes: &[u8]) -> impl Iterator<Item = u16> {
    bytes.chunks_exact(2).map(|pair| match pair {
        [low, high] => u16::from_le_bytes([*low, *high]),
        _ => 0,
    })
}
