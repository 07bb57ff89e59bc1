//! `gateway check`: every fault of the templates, for people or for a program.

use std::fmt::Write as _;
use std::path::Path;

use gateway_protocol::GameId;
use serde_json::{Value, json};

use crate::catalog::{Breadth, Dialect, Finding, MirroredGame, Severity, survey};

/// Exit status when nothing is wrong; there may be warnings.
pub const EXIT_OK: u8 = 0;
/// Exit status when a template is wrong.
pub const EXIT_FAULTY: u8 = 1;
/// Exit status when the question itself cannot be answered: no such folder, game, or operation.
pub const EXIT_USAGE: u8 = 2;

/// For whom the findings are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// One finding a line, its fix below it, a summary at the end.
    #[default]
    People,
    /// One JSON object: `{findings: [{file, line, column, severity, rule, message, fix}], errors,
    /// warnings, templates, operations, games, dialects}`.
    Json,
}

/// What a command of the templates prints, and how it ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// For standard output; ends with a newline unless empty.
    pub text: String,
    /// For standard error; ends with a newline unless empty.
    pub complaint: String,
    /// Exit status.
    pub status: u8,
}

impl Report {
    pub(super) fn refused(complaint: &str) -> Self {
        Self { text: String::new(), complaint: format!("{complaint}\n"), status: EXIT_USAGE }
    }
}

/// The refusal of a game that has no folder of templates; for those that somebody names, since a configured
/// game may live on the shared ones alone.
pub(super) fn unknown_game<'g>(
    dir: &Path,
    games: impl IntoIterator<Item = &'g GameId>,
) -> Option<Report> {
    let game = games.into_iter().find(|game| !dir.join(game.as_str()).is_dir())?;
    Some(Report::refused(&format!("{game}: no game has that folder in {}", dir.display())))
}

/// Checks every template of `games`; rules 1 to 4, and the syntax as far as a parser knows it.
///
/// - `games`: a game may stand several times with different dialects; empty: every game that has a folder, on
///   MySQL and on SQLite, and on Oracle where some file is written for it.
/// - `mirrors`: of these, those that have a mirror, and whether both have the same operations.
/// - `more`: findings from elsewhere, told with the others (rule 5, which needs a database).
///
/// Blocks: reads the folder.
pub fn check(
    dir: &Path,
    (games, mirrors): (&[(GameId, Dialect)], &[MirroredGame]),
    format: Format,
    more: Vec<Finding>,
) -> Report {
    if !dir.is_dir() {
        return Report::refused(&format!("{}: no such folder of templates", dir.display()));
    }
    let mirrored = mirrors.iter().map(|game| (game.id.clone(), game.mirror));
    let pairs: Vec<_> = games.iter().cloned().chain(mirrored).collect();
    let survey = survey(dir, &pairs).with_bodies().with_syntax().with_mirrors(mirrors);
    let mut findings = survey.findings;
    findings.extend(more);
    findings.sort_unstable();
    let count = |severity| findings.iter().filter(|one| one.severity == severity).count();
    let counts = Counts {
        errors: count(Severity::Error),
        warnings: count(Severity::Warning),
        templates: survey.template_count,
        breadth: survey.breadth,
    };
    let text = match format {
        Format::People => for_people(&findings, &counts),
        Format::Json => for_programs(&findings, &counts),
    };
    let status = if counts.errors == 0 { EXIT_OK } else { EXIT_FAULTY };
    Report { text, complaint: String::new(), status }
}

struct Counts {
    errors: usize,
    warnings: usize,
    templates: usize,
    breadth: Breadth,
}

/// Findings as lines: `file:line:column: error[rule]: message`, and the fix below.
pub(super) fn lines(findings: &[Finding]) -> String {
    let mut text = String::new();
    for finding in findings {
        // A file's name is whatever somebody called it: nothing of it may reach the terminal raw.
        push_line(&mut text, &format!("{finding}"));
        push_line(&mut text, &format!("    fix: {}", finding.fix));
    }
    text
}

fn push_line(text: &mut String, line: &str) {
    text.extend(line.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }));
    text.push('\n');
}

fn for_people(findings: &[Finding], counts: &Counts) -> String {
    let mut text = lines(findings);
    let Counts { errors, warnings, templates, breadth } = counts;
    let Breadth { operations, games, dialects } = breadth;
    let summary = format!(
        "{templates} templates ({operations} operations, {games} games, {dialects} dialects), \
         {errors} errors, {warnings} warnings\n"
    );
    text.push_str(&summary);
    text
}

fn for_programs(findings: &[Finding], counts: &Counts) -> String {
    let findings: Vec<Value> = findings
        .iter()
        .map(|finding| {
            json!({
                "file": &*finding.place.file,
                "line": finding.place.line,
                "column": finding.place.column,
                "severity": finding.severity.name(),
                "rule": finding.rule.id(),
                "message": &*finding.message,
                "fix": &*finding.fix,
            })
        })
        .collect();
    let whole = json!({
        "findings": findings,
        "errors": counts.errors,
        "warnings": counts.warnings,
        "templates": counts.templates,
        "operations": counts.breadth.operations,
        "games": counts.breadth.games,
        "dialects": counts.breadth.dialects,
    });
    let mut text = String::new();
    if writeln!(text, "{whole:#}").is_err() {
        text.clear();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::load::tests::{PLAYER_GET, SEARCH, games, write};

    fn checked(text: &str, format: Format) -> Report {
        let root = tempfile::tempdir().unwrap();
        write(root.path(), &[("_base/player/get.sql", text), ("game1/search.sql", SEARCH)]);
        check(root.path(), (&games(&[("game1", Dialect::Mysql)]), &[]), format, Vec::new())
    }

    #[test]
    fn good_templates_end_with_0_and_a_count() {
        let report = checked(PLAYER_GET, Format::People);
        assert_eq!(report.status, EXIT_OK);
        assert_eq!(
            report.text,
            "2 templates (2 operations, 1 games, 1 dialects), 0 errors, 0 warnings\n"
        );
    }

    #[test]
    fn game_that_has_no_folder_is_unknown() {
        let root = tempfile::tempdir().unwrap();
        write(root.path(), &[("game1/search.sql", SEARCH)]);
        let known = |game| unknown_game(root.path(), [&GameId::new(game).unwrap()]);
        assert_eq!(known("game1"), None);
        let refused = known("nosuch").unwrap();
        assert_eq!(refused.status, EXIT_USAGE);
        assert!(
            refused.complaint.starts_with("nosuch: no game has that folder in "),
            "{refused:?}"
        );
    }

    #[test]
    fn oracle_is_looked_at_by_itself_where_a_file_is_written_for_it() {
        let root = tempfile::tempdir().unwrap();
        write(root.path(), &[("_base/player/get.sql", PLAYER_GET), ("game1/search.sql", SEARCH)]);
        let looked = || check(root.path(), (&[], &[]), Format::People, Vec::new()).text;
        assert!(looked().contains("2 operations, 1 games, 2 dialects), 0 errors"), "{}", looked());
        let own = SEARCH.replacen("-- @kind", "-- more\n-- @kind", 1);
        write(root.path(), &[("game1/search.oracle.sql", &own)]);
        assert!(looked().contains("2 operations, 1 games, 3 dialects), 0 errors"), "{}", looked());
    }

    #[test]
    fn fault_is_told_with_its_place_rule_and_fix_and_ends_with_1() {
        let report = checked(&PLAYER_GET.replace("@cache", "@cahce"), Format::People);
        assert_eq!(report.status, EXIT_FAULTY);
        let expected = "_base/player/get.sql:9:1: error[key-unknown]: there is no key `@cahce`\n    \
                        fix: did you mean `@cache`?\n";
        assert!(report.text.starts_with(expected), "{}", report.text);
        assert!(report.text.ends_with("1 errors, 0 warnings\n"), "{}", report.text);
    }

    /// What only follows from the first fault is not told.
    #[test]
    fn one_mistake_in_a_header_line_is_one_fault() {
        let mistakes = [
            ("@kind   one ", "@kind   oen "),
            ("@kind", "@knd"),
            ("@param", "@parm"),
            ("bigint min=1", "bigin min=1"),
            ("player_id bigint as string", "player_id bigit as string"),
            ("@allow", "@alow"),
        ];
        for (good, bad) in mistakes {
            assert!(PLAYER_GET.contains(good), "{good}");
            let report = checked(&PLAYER_GET.replace(good, bad), Format::People);
            assert_eq!(report.status, EXIT_FAULTY);
            assert!(report.text.contains(" 1 errors, 0 warnings\n"), "{bad}:\n{}", report.text);
        }
    }

    #[test]
    fn kind_that_is_misspelt_gets_the_list_of_those_that_are() {
        let report = checked(&PLAYER_GET.replace("@kind   one ", "@kind   oen "), Format::People);
        assert!(
            report.text.contains("fix: use one, optional, many, page, exec, tx, batch, call\n")
        );
    }

    #[test]
    fn json_has_every_member_of_a_finding() {
        let report = checked(&PLAYER_GET.replace("@cache", "@cahce"), Format::Json);
        let whole: Value = serde_json::from_str(&report.text).unwrap();
        assert_eq!((report.status, &whole["errors"]), (EXIT_FAULTY, &json!(1)));
        let finding = whole["findings"][0].as_object().unwrap();
        let members: Vec<_> = finding.keys().map(String::as_str).collect();
        assert_eq!(members, ["file", "line", "column", "severity", "rule", "message", "fix"]);
        assert_eq!((&finding["line"], &finding["rule"]), (&json!(9), &json!("key-unknown")));
    }

    #[test]
    fn statement_that_the_parser_cannot_read_is_a_warning_only() {
        let report = checked(&PLAYER_GET.replace("WHERE  p", "WHERE  AND p"), Format::People);
        assert_eq!(report.status, EXIT_OK);
        assert!(report.text.contains("warning[syntax]"), "{}", report.text);
    }

    #[test]
    fn findings_of_a_database_are_told_with_the_others() {
        let root = tempfile::tempdir().unwrap();
        write(root.path(), &[("_base/player/get.sql", PLAYER_GET), ("game1/search.sql", SEARCH)]);
        let mut more = survey(root.path(), &games(&[("game1", Dialect::Mysql)])).findings;
        assert_eq!(more, []);
        let broken = PLAYER_GET.replace("@cache", "@cahce");
        write(root.path(), &[("_base/player/get.sql", &broken)]);
        more.extend(survey(root.path(), &games(&[("game1", Dialect::Mysql)])).findings);
        write(root.path(), &[("_base/player/get.sql", PLAYER_GET)]);
        let report =
            check(root.path(), (&games(&[("game1", Dialect::Mysql)]), &[]), Format::People, more);
        assert_eq!(report.status, EXIT_FAULTY);
    }

    #[test]
    fn without_games_every_folder_is_checked_on_both_dialects() {
        let root = tempfile::tempdir().unwrap();
        write(root.path(), &[("_base/player/get.sql", PLAYER_GET), ("game1/search.sql", SEARCH)]);
        let report = check(root.path(), (&[], &[]), Format::People, Vec::new());
        assert_eq!(
            report.text,
            "4 templates (2 operations, 1 games, 2 dialects), 0 errors, 0 warnings\n"
        );
    }

    #[test]
    fn folder_that_is_not_there_ends_with_2() {
        let report = check(Path::new("no/such/folder"), (&[], &[]), Format::People, Vec::new());
        assert_eq!((report.status, &*report.text), (EXIT_USAGE, ""));
        assert!(report.complaint.contains("no such folder"));
    }
}
