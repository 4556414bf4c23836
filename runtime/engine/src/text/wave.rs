//! Arguments in WAVE, the WebAssembly value encoding: `(1, "x", {a: 2})`.

use station_model::{Code, Failure, Function};
use wasmtime::component::wasm_wave::parser::ParserError;
use wasmtime::component::wasm_wave::untyped::UntypedFuncCall;
use wasmtime::component::{Val, types};

/// Longest text that is parsed.
const TEXT_BYTES_MAX: usize = 4 << 20;
/// Deepest nesting of brackets; the parser recurses.
const DEPTH_MAX: usize = 64;

/// The arguments of a function of type `ty` from `text`, which is a WAVE tuple. An empty text is `()`.
///
/// # Errors
/// `call.bad_argument`.
pub(crate) fn arguments(text: &str, ty: &types::ComponentFunc, signature: &Function) -> Result<Vec<Val>, Failure> {
    let bad = |why: String| Failure::new(Code::CallBadArgument, format!("{why}; {}", expected(signature)));
    let text = if text.trim().is_empty() { "()" } else { text.trim() };
    if text.len() > TEXT_BYTES_MAX || too_deep(text) {
        return Err(bad("the arguments are too long or nested too deeply".to_owned()));
    }
    if signature.types().any(station_model::Type::has_handles) {
        return Err(bad("a function with resource handles cannot be called from outside".to_owned()));
    }
    let call = format!("f{text}");
    let parsed = UntypedFuncCall::parse(&call).map_err(|error| bad(told(&error)))?;
    let types: Vec<_> = ty.params().map(|(_, ty)| ty).collect();
    parsed.to_wasm_params::<Val>(&types).map_err(|error| bad(told(&error)))
}

/// A parser's error with its place in what the user wrote, which begins one character later for the parser.
fn told(error: &ParserError) -> String {
    let span = error.span();
    let (from, to) = (span.start.saturating_sub(1), span.end.saturating_sub(1));
    let detail = error.detail().map(|detail| format!(": {detail}")).unwrap_or_default();
    format!("{}{detail} at {from}..{to}", error.kind())
}

/// Says what a function takes.
pub(super) fn expected(signature: &Function) -> String {
    let params: Vec<_> = signature.params.iter().map(|(name, ty)| format!("{name}: {ty}")).collect();
    format!("{} takes ({})", signature.name, params.join(", "))
}

fn too_deep(text: &str) -> bool {
    let mut depth = 0_usize;
    text.bytes().any(|byte| {
        match byte {
            b'(' | b'[' | b'{' => depth += 1,
            b')' | b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        depth > DEPTH_MAX
    })
}
