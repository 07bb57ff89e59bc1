//! `gateway which GAME OP --dialect D`: the file and line behind each key and the body of an operation.

use std::path::Path;

use gateway_protocol::{GameId, OpId};

use super::check::{EXIT_FAULTY, EXIT_OK, Report, lines, unknown_game};
use crate::catalog::{Dialect, Origin, Severity, provenance, survey};

/// Tells where an operation comes from; faults met while reading its files are complaints.
///
/// Blocks: reads the folder.
pub fn which(dir: &Path, game: &GameId, op: &OpId, dialect: Dialect) -> Report {
    if let Some(refused) = unknown_game(dir, [game]) {
        return refused;
    }
    let Some(found) = provenance(dir, game, op, dialect) else {
        return Report::refused(&survey(dir, &[]).absence(game, op, dialect));
    };
    let row = |key: &str, value: &str, place: &str| format!("{key:<12} {value:<60} {place}\n");
    let mut text = vec![format!("{op} of {game} on {dialect}, the most specific file first\n")];
    text.extend(found.files.iter().map(|file| format!("  {file}\n")));
    text.extend(
        found
            .lines
            .iter()
            .map(|line| row(&format!("@{}", line.key), &line.value, &line.place.to_string())),
    );
    text.push(match &found.body {
        Some(place) => row("body", "", &place.to_string()),
        None => row("body", "none for this dialect", ""),
    });
    let step = |step: &Origin| row("step", &step.value, &step.place.to_string());
    text.extend(found.steps.iter().map(step));
    let is_faulty = found.findings.iter().any(|finding| finding.severity == Severity::Error);
    let status = if is_faulty { EXIT_FAULTY } else { EXIT_OK };
    Report { text: text.concat(), complaint: lines(&found.findings), status }
}

#[cfg(test)]
mod tests {
    use super::super::check::EXIT_USAGE;
    use super::*;
    use crate::catalog::load::tests::{PLAYER_GET, write};

    fn told(game: &str, op: &str, dialect: Dialect) -> Report {
        let root = tempfile::tempdir().unwrap();
        let files = [
            ("_base/player/get.sql", PLAYER_GET),
            ("_base/player/get.mysql.sql", "SELECT 1"),
            ("game1/player/get.sql", "-- @allow admin\n-- @cache l1=1m tag=player:{player_id}\n"),
            ("game2/player/get.sql", "-- @allow nobody\n"),
        ];
        write(root.path(), &files);
        which(root.path(), &GameId::new(game).unwrap(), &OpId::new(op).unwrap(), dialect)
    }

    /// The place at the end of the line that begins with `key`.
    #[track_caller]
    fn check(report: &Report, key: &str, place: &str) {
        let line = report.text.lines().find(|line| line.starts_with(key)).expect(key);
        assert!(line.ends_with(place), "{line}");
    }

    #[test]
    fn each_key_and_the_body_are_told_with_file_and_line() {
        let report = told("game1", "player.get", Dialect::Mysql);
        assert_eq!((report.status, &*report.complaint), (EXIT_OK, ""));
        check(&report, "@desc", " _base/player/get.sql:1:12");
        check(&report, "@allow", " game1/player/get.sql:1:11");
        check(&report, "@cache", " game1/player/get.sql:2:11");
        check(&report, "body", " _base/player/get.mysql.sql:1:1");
        let files: Vec<_> = report.text.lines().skip(1).take(3).map(str::trim).collect();
        assert_eq!(
            files,
            ["game1/player/get.sql", "_base/player/get.mysql.sql", "_base/player/get.sql"]
        );
    }

    #[test]
    fn other_games_and_dialects_leave_no_trace() {
        let report = told("game1", "player.get", Dialect::Sqlite);
        check(&report, "body", " _base/player/get.sql:10:1");
        assert!(!report.text.contains("game2") && !report.text.contains("mysql.sql"));
    }

    #[test]
    fn each_step_is_told_with_the_file_that_it_comes_from() {
        let root = tempfile::tempdir().unwrap();
        let base = "-- @kind tx\n-- @allow a\n-- @step first exec\nINSERT INTO t (a) VALUES (1)\n\
                    -- @step second exec affected = 1\nINSERT INTO t (a) VALUES (2)\n";
        let over = "-- @replace step second\n\n-- @step second exec affected = 1\nINSERT INTO u (a) VALUES (2)";
        write(root.path(), &[("_base/x.sql", base), ("game1/x.sql", over)]);
        let (game, op) = (GameId::new("game1").unwrap(), OpId::new("x").unwrap());
        let report = which(root.path(), &game, &op, Dialect::Mysql);
        assert_eq!((report.status, &*report.complaint), (EXIT_OK, ""));
        check(&report, "step         first exec ", " _base/x.sql:3:1");
        check(&report, "step         second exec affected = 1 ", " game1/x.sql:3:1");
        check(&report, "@replace", " game1/x.sql:1:13");
    }

    #[test]
    fn override_that_widens_is_told_and_ends_with_1() {
        let report = told("game2", "player.get", Dialect::Mysql);
        assert_eq!(report.status, EXIT_FAULTY);
        assert!(report.complaint.contains("error[override]"), "{}", report.complaint);
    }

    #[test]
    fn game_that_is_not_there_ends_with_2_and_is_named() {
        let report = told("game9", "player.get", Dialect::Mysql);
        assert_eq!((report.status, &*report.text), (EXIT_USAGE, ""));
        assert!(report.complaint.contains("game9"), "{}", report.complaint);
    }

    #[test]
    fn operation_that_is_not_there_ends_with_2() {
        assert_eq!(told("game1", "player.put", Dialect::Mysql).status, EXIT_USAGE);
    }
}
