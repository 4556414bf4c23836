//! Values at the edges of the station are text: JSON or WAVE. Inside there is no text.

pub(crate) mod json;
#[cfg(test)]
mod json_tests;
pub(crate) mod wave;
