//! What became of a scenario: what was found, or why nothing was.

use std::fmt;

use serde::Serialize;

use crate::comparison::Comparison;

/// A scenario that was to be compared.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(crate) enum Outcome {
    /// Its figures, as an object of their own.
    Compared(Box<Comparison>),
    /// `{"failed": {"scenario": …, "error": …}}`
    Failed { failed: Failed },
}

/// A scenario that could not be measured.
#[derive(Debug, Serialize)]
pub(crate) struct Failed {
    pub(crate) scenario: String,
    /// With its causes.
    pub(crate) error: String,
}

impl Outcome {
    pub(crate) fn of(scenario: &str, outcome: anyhow::Result<Comparison>) -> Self {
        match outcome {
            Ok(comparison) => Self::Compared(Box::new(comparison)),
            Err(error) => {
                let (scenario, error) = (scenario.to_owned(), format!("{error:#}"));
                Self::Failed { failed: Failed { scenario, error } }
            }
        }
    }

    /// The table, or the failure, for people.
    pub(crate) fn table(&self) -> Result<String, fmt::Error> {
        match self {
            Self::Compared(comparison) => comparison.table(),
            Self::Failed { failed } => Ok(format!("FAILED: {}\n", failed.error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::html;

    #[test]
    fn scenario_that_failed_is_told_with_its_cause_in_text_json_and_html() {
        let error = anyhow::anyhow!("no <server>").context("the load");
        let failed = Outcome::of("idle", Err(error));
        assert_eq!(failed.table().unwrap(), "FAILED: the load: no <server>\n");
        let json = serde_json::to_string(&failed).unwrap();
        assert_eq!(json, r#"{"failed":{"scenario":"idle","error":"the load: no <server>"}}"#);
        let page = html::page(&failed).unwrap();
        assert!(page.contains("idle") && page.contains("the load: no &lt;server>"), "{page}");
    }
}
