//! What the machine allows, before anything is opened: raised where a process may, told where it may not.

use std::path::Path;

use crate::config::Config;
use crate::machine::{Profile, Question, State, needs, raise_open_files};
use crate::observe::{Event, emit};

/// Raises the limit of open files, and warns of what will hurt this configuration.
pub(super) fn prepare(config: &Config) {
    // Where even that is forbidden, the check of the limit tells whether it matters.
    let _raised = raise_open_files();
    let root = Path::new("/");
    let question =
        Question { root, profile: &Profile::of(root), wanted: &needs(config), probed: &[] };
    let findings = question.examine(|check| check.at_start);
    for finding in findings.iter().filter(|finding| finding.state == State::Change) {
        emit(&Event::MachineWarning {
            check: finding.check.id,
            found: &finding.found,
            wanted: &finding.wanted,
            why: finding.check.why,
        });
    }
}
