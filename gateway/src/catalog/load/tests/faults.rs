//! One mistake is one fault: what only follows from it is not told.

use super::*;
use crate::catalog::write_tests::{CREATE, GET, GRANT, PAY};

/// Makes one header line after the other unreadable: the lines that are told as more or other than that.
fn lines_with_more_faults(files: &[(&str, &str)]) -> Vec<String> {
    let mut wrong = Vec::new();
    for (index, (_, text)) in files.iter().enumerate() {
        for line in text.lines().filter(|line| line.starts_with("-- @")) {
            // A description is any text, and a step's line is no header.
            if line.starts_with("-- @desc") || line.starts_with("-- @step") {
                continue;
            }
            let broken = text.replacen(line, &format!("{line} !"), 1);
            let mut files = files.to_vec();
            files[index].1 = &broken;
            let told = load_on(&files, Dialect::Mysql).err().unwrap_or_default();
            let rules: Vec<Rule> = told.iter().map(|finding| finding.rule).collect();
            if rules != [Rule::KeyValue] {
                wrong.push(format!("{line}: {told:#?}"));
            }
        }
    }
    wrong
}

#[test]
fn header_line_that_cannot_be_read_is_one_fault() {
    let orders = [("_base/order/create.sql", CREATE), ("_base/order/get.sql", GET)];
    let sets: [&[(&str, &str)]; 6] = [
        &[("_base/player/get.sql", PLAYER_GET)],
        &[("_base/item/transfer.sql", TRANSFER)],
        &[("_base/character/search.sql", SEARCH)],
        &[("_base/order/pay.sql", PAY)],
        &[("_base/item/grant.sql", GRANT)],
        &orders,
    ];
    for files in sets {
        check(files, &[]);
        let wrong = lines_with_more_faults(files);
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }
}

#[test]
fn two_mistakes_in_one_line_do_not_make_a_third() {
    let broken = CREATE.replace("@async", "@async dead=0 foo=2");
    assert_ne!(broken, CREATE);
    check(&[("_base/order/create.sql", &broken), ("_base/order/get.sql", GET)], &[Rule::KeyValue]);
}

#[test]
fn comparison_of_another_language_is_told_with_ours() {
    for (other, ours) in [("==", "="), ("!=", "<>"), ("=<", "<="), ("=>", ">=")] {
        let text = WRITE.replacen("exec", &format!("exec affected {other} 1"), 1);
        let findings = load_on(&[("_base/x.sql", &text)], Dialect::Mysql).unwrap_err();
        assert_eq!(findings.len(), 1, "{findings:?}");
        assert!(findings[0].message.contains(&format!("`{other}`")), "{findings:?}");
        assert_eq!(&*findings[0].fix, format!("write `{ours}`"));
    }
}
