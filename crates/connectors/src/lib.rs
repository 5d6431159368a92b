//! The connectors, one folder each: `manifest.toml`, `mod.rs`, `cases/`.
//!
//! They are pure and never see a payment's state. The application hands them to the engine, so a new one
//! rebuilds neither store nor engine. Adding one touches its folder and the list below.

use std::sync::Arc;

use baton_connect::{Connector, ManifestError};

mod adyen;
pub mod card_vaults;
mod null_failure;
mod null_success;
mod sandbox;
mod stripe;
/// What `baton connectors new` writes; built here so that it is known to work.
#[cfg(test)]
mod template;

/// Every connector of this build.
///
/// # Errors
/// A manifest that does not load: a connector's author meets this in the tests.
pub fn all() -> Result<Vec<Arc<dyn Connector>>, ManifestError> {
    Ok(vec![
        Arc::new(null_success::NullSuccess::new()?),
        Arc::new(null_failure::NullFailure::new()?),
        Arc::new(sandbox::Sandbox::new()?),
        Arc::new(stripe::Stripe::new()?),
        Arc::new(adyen::Adyen::new()?),
    ])
}

#[cfg(test)]
mod tests {
    use baton_connect::claims;

    use super::*;

    #[test]
    fn every_connector_has_its_own_name_and_does_something() {
        let all = all().unwrap();
        let mut names: Vec<&str> = all.iter().map(|c| c.manifest().gateway_name.as_str()).collect();
        names.sort_unstable();
        assert_eq!(names, ["Adyen", "NULLFailure", "NULLSuccess", "Sandbox", "Stripe"]);
        for connector in &all {
            assert!(!connector.manifest().operations.is_empty());
        }
    }

    /// Every file of cases, with the connector that it is of.
    const CASES: [(&str, &str); 16] = [
        ("NULLSuccess", include_str!("null_success/cases.json")),
        ("NULLFailure", include_str!("null_failure/cases.json")),
        ("Sandbox", include_str!("sandbox/cases/purchase.json")),
        ("Sandbox", include_str!("sandbox/cases/modify.json")),
        ("Sandbox", include_str!("sandbox/cases/look_up.json")),
        ("Sandbox", include_str!("sandbox/cases/dispute.json")),
        ("Sandbox", include_str!("sandbox/cases/retrieve.json")),
        ("Stripe", include_str!("stripe/cases/purchase.json")),
        ("Stripe", include_str!("stripe/cases/redirect.json")),
        ("Stripe", include_str!("stripe/cases/modify.json")),
        ("Stripe", include_str!("stripe/cases/look_up.json")),
        ("Stripe", include_str!("stripe/cases/dispute.json")),
        ("Stripe", include_str!("stripe/cases/retrieve.json")),
        ("Adyen", include_str!("adyen/cases/purchase.json")),
        ("Adyen", include_str!("adyen/cases/modify.json")),
        ("Adyen", include_str!("adyen/cases/complete.json")),
    ];

    #[test]
    fn every_case_holds() {
        let all = all().unwrap();
        for (name, file) in CASES {
            let connector = all.iter().find(|c| c.manifest().gateway_name == name).unwrap();
            let differences = baton_connect::cases::differences(connector.as_ref(), file).unwrap();
            assert!(differences.is_empty(), "{name}\n{}", differences.join("\n"));
        }
    }

    #[test]
    fn every_claim_is_shown_by_a_case() {
        for connector in all().unwrap() {
            let manifest = connector.manifest();
            let files = CASES.iter().filter(|(name, _)| *name == manifest.gateway_name);
            let cases =
                files.flat_map(|(_, file)| claims::cases(file).unwrap()).collect::<Vec<_>>();
            let unshown = claims::unshown(manifest, &cases);
            assert!(unshown.is_empty(), "{}\n{}", manifest.gateway_name, unshown.join("\n"));
        }
    }

    #[test]
    fn the_template_for_new_connectors_works() {
        let template = template::Template::new().unwrap();
        let file = include_str!("template/cases.json");
        let differences = baton_connect::cases::differences(&template, file).unwrap();
        assert!(differences.is_empty(), "{}", differences.join("\n"));
        let unshown = claims::unshown(template.manifest(), &claims::cases(file).unwrap());
        assert!(unshown.is_empty(), "{}", unshown.join("\n"));
    }
}
