//! The folder of a new connector. What it holds is built and tested in `crates/connectors/src/template`.

use std::path::{Path, PathBuf};

const FILES: [(&str, &str); 3] = [
    ("manifest.toml", include_str!("../../../connectors/src/template/manifest.toml")),
    ("mod.rs", include_str!("../../../connectors/src/template/mod.rs")),
    ("cases.json", include_str!("../../../connectors/src/template/cases.json")),
];

pub(crate) struct Made {
    pub(crate) folder: PathBuf,
    /// The connector's name in code, and its gateway name.
    pub(crate) name: String,
}

/// Writes the folder. Nothing that is there is touched.
///
/// # Errors
/// Not an id, or something of that name is there, or it cannot be written.
pub(crate) fn write(id: &str, parent: &Path) -> Result<Made, String> {
    let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
    let begins = id.bytes().next().is_some_and(|b| b.is_ascii_lowercase());
    if !begins || !(2..=30).contains(&id.len()) || !id.bytes().all(allowed) || id.contains("__") {
        return Err(format!(
            "{id:?} is no id: 2 to 30 small letters, digits and single _, beginning with a letter"
        ));
    }
    if !parent.is_dir() {
        return Err(format!("{} is no folder", parent.display()));
    }
    let folder = parent.join(id);
    std::fs::create_dir(&folder)
        .map_err(|error| format!("{} cannot be made: {error}", folder.display()))?;
    let name = camel(id);
    for (file, text) in FILES {
        let text = text.replace("Template", &name).replace("template", id);
        let path = folder.join(file);
        std::fs::write(&path, text)
            .map_err(|error| format!("{} cannot be written: {error}", path.display()))?;
    }
    Ok(Made { folder, name })
}

/// `two_words` as `TwoWords`.
fn camel(id: &str) -> String {
    let capital = |word: &str| {
        let mut letters = word.chars();
        let first = letters.next().map(|first| first.to_ascii_uppercase());
        first.into_iter().chain(letters).collect::<String>()
    };
    id.split('_').map(capital).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_named_throughout_and_nothing_is_overwritten() {
        let place = tempfile::tempdir().unwrap();
        let made = write("big_bank2", place.path()).unwrap();
        assert_eq!((made.name.as_str(), made.folder), ("BigBank2", place.path().join("big_bank2")));
        for (file, _) in FILES {
            let text = std::fs::read_to_string(place.path().join("big_bank2").join(file)).unwrap();
            assert!(!text.to_lowercase().contains("template"), "{file}");
        }
        let manifest = std::fs::read_to_string(place.path().join("big_bank2/manifest.toml"));
        let manifest = baton_connect::Manifest::parse(&manifest.unwrap()).unwrap();
        assert_eq!(
            (manifest.id.as_str(), manifest.gateway_name.as_str()),
            ("big_bank2", "BigBank2")
        );
        assert!(write("big_bank2", place.path()).is_err(), "it is there");
        for wrong in ["", "a", "2x", "Big", "a b", "../x", "a__b", "é", &"x".repeat(31)] {
            assert!(write(wrong, place.path()).is_err(), "{wrong}");
        }
        assert!(write("acme", &place.path().join("nowhere")).is_err());
    }
}
