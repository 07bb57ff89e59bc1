//! Secrets that are published with the demo: recognised, so that `serve` can refuse them.

/// How every published key id, `kid` and secret begins.
pub const SAMPLE_PREFIX: &str = "demo-only-";

/// Whether a key's id, a `kid` or a secret is one that the demo publishes.
///
/// - `text`: an id or a secret as configured; the case of letters does not matter.
pub fn is_sample(text: &str) -> bool {
    text.as_bytes()
        .first_chunk::<{ SAMPLE_PREFIX.len() }>()
        .is_some_and(|start| start.eq_ignore_ascii_case(SAMPLE_PREFIX.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sample_is_known_by_its_beginning_in_any_case() {
        for sample in ["demo-only-", "demo-only-web", "DEMO-only-x"] {
            assert!(is_sample(sample), "{sample}");
        }
        for own in ["", "demo-only", "demo-onlyweb", "my-demo-only-web", "dämo-only-web"] {
            assert!(!is_sample(own), "{own}");
        }
    }
}
