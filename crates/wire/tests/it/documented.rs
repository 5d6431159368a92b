//! The page that says what each failure proves names tests that are there.

use std::fs;
use std::path::Path;

#[test]
fn every_test_that_the_page_names_is_there() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = fs::read_to_string(here.join("../../docs/transport.md")).unwrap();
    let named: Vec<(&str, &str)> =
        page.split('`').skip(1).step_by(2).filter_map(|word| word.split_once("::")).collect();
    assert!(named.len() > 40, "{} tests are named", named.len());
    for (module, name) in named {
        let source = fs::read_to_string(here.join("tests/it").join(module).with_extension("rs"));
        let source = source.unwrap_or_else(|error| panic!("{module}: {error}"));
        let test = format!("async fn {name}()");
        assert!(source.contains(&test), "{module}::{name} is not there");
    }
}
