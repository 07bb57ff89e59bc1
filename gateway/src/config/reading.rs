//! One reading of a configuration file: what its sections share, and what they found.

use std::cell::RefCell;
use std::path::Path;

use super::Env;
use super::fault::{ConfigFault, FaultKind, Warning};
use super::setting::{Sections, Segment, Setting, line_of, path_text};

/// What all sections of one reading share.
#[derive(Debug)]
pub(super) struct Reading<'e> {
    pub(super) env: &'e Env,
    /// The folder of the configuration file: relative paths start there.
    pub(super) base_dir: &'e Path,
    report: RefCell<Report>,
}

/// What a reading found.
#[derive(Debug, Default)]
pub(super) struct Report {
    pub(super) faults: Vec<ConfigFault>,
    pub(super) warnings: Vec<Warning>,
    pub(super) settings: Vec<Setting>,
    pub(super) sections: Sections,
}

impl<'e> Reading<'e> {
    pub(super) fn new(env: &'e Env, base_dir: &'e Path) -> Self {
        Self { env, base_dir, report: RefCell::default() }
    }

    pub(super) fn finish(self) -> Report {
        self.report.into_inner()
    }

    pub(super) fn fault(&self, line: u32, key: impl Into<Box<str>>, kind: FaultKind) {
        self.report.borrow_mut().faults.push(ConfigFault { line, key: key.into(), kind });
    }

    pub(super) fn warn(&self, line: u32, key: impl Into<Box<str>>, text: impl Into<Box<str>>) {
        let warning = Warning { line, key: key.into(), text: text.into() };
        self.report.borrow_mut().warnings.push(warning);
    }

    /// A fault of settings that do not go together, at the line of `key`.
    pub(super) fn conflict(&self, key: &str, reason: impl Into<Box<str>>) {
        self.fault(self.line_of(key), key, FaultKind::Conflict(reason.into()));
    }

    /// The line where a setting is written, or else the section that it would stand in; 0 for neither.
    pub(super) fn line_of(&self, key: &str) -> u32 {
        let report = self.report.borrow();
        line_of(&report.settings, &report.sections, key)
    }

    /// Whether a setting is written under that path, even one that has a fault.
    pub(super) fn is_set(&self, path: &str) -> bool {
        let report = self.report.borrow();
        report.settings.iter().any(|it| it.line > 0 && path_text(&it.path) == path)
    }

    /// Whether a section is written under that path, even one that had to be left out for its faults.
    pub(super) fn is_written(&self, path: &str) -> bool {
        self.report.borrow().sections.0.iter().any(|(own, _)| own == path)
    }

    pub(super) fn record_section(&self, path: &[Segment], line: u32) {
        self.report.borrow_mut().sections.0.push((path_text(path), line));
    }

    pub(super) fn record(&self, setting: Setting) {
        self.report.borrow_mut().settings.push(setting);
    }
}
