//! The OpenAPI document that outsiders see. `UPDATE_GOLDEN=1` writes it anew; read the difference.

use std::path::Path;

#[test]
fn the_openapi_document_is_the_golden_one() {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden/openapi.json");
    let document = crate::document();
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::create_dir_all(golden.parent().unwrap()).unwrap();
        std::fs::write(&golden, &document).unwrap();
    }
    let expected = std::fs::read_to_string(&golden).unwrap_or_default();
    assert!(
        document == expected,
        "the API changed: run again with UPDATE_GOLDEN=1 and read the difference in {}",
        golden.display()
    );
}
