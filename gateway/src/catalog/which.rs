//! Where each line and the body of an operation come from.

use std::path::Path;

use gateway_protocol::{GameId, OpId};

use super::compile::{Chunk, chunks};
use super::contract::{Decl, Key};
use super::finding::{Finding, Findings, Place};
use super::resolve::{Resolved, layers, resolve};
use super::tree::Tree;
use super::{Dialect, Kind};

/// A header line that counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// The key, without `@`.
    pub key: &'static str,
    /// The value, as written.
    pub value: Box<str>,
    /// Where it stands.
    pub place: Place,
}

/// What an operation is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Provenance {
    /// The files that were merged, the most specific first.
    pub files: Vec<Box<str>>,
    /// The lines that count, by key.
    pub lines: Vec<Origin>,
    /// Where the body begins; `None`: there is none for the dialect.
    pub body: Option<Place>,
    /// The steps of a `tx`, in order, each where it comes from: an override replaces some.
    pub steps: Vec<Origin>,
    /// What was wrong while the files were read and merged.
    pub findings: Vec<Finding>,
}

/// Tells where an operation comes from; `None` when the game has no such operation.
pub fn provenance(dir: &Path, game: &GameId, op: &OpId, dialect: Dialect) -> Option<Provenance> {
    let mut findings = Findings::default();
    let tree = Tree::read(dir, &mut findings);
    let files = layers(&tree, game, op, dialect);
    let paths: Vec<Box<str>> = files.iter().rev().map(|file| (*file.path).into()).collect();
    let resolved = resolve(&tree, game, op, dialect, &mut findings)?;
    let lines = Key::ALL.into_iter().flat_map(|key| resolved.all(key)).map(|entry| Origin {
        key: entry.key.name(),
        value: (*entry.value).into(),
        place: entry.place.clone(),
    });
    let steps = steps(&resolved, &mut findings);
    let mut told = findings.into_sorted();
    told.retain(|finding| paths.iter().any(|path| **path == *finding.place.file));
    Some(Provenance {
        lines: lines.collect(),
        body: resolved.body.as_ref().map(super::tree::Body::place),
        steps,
        files: paths,
        findings: told,
    })
}

fn steps(resolved: &Resolved, findings: &mut Findings) -> Vec<Origin> {
    let is_tx = resolved.one(Key::Kind).is_some_and(|entry| match &*entry.decl {
        Decl::Kind(decl) => decl.kind == Kind::Tx,
        _ => false,
    });
    let chunks = is_tx.then(|| chunks(resolved, findings)).flatten().unwrap_or_default();
    let origin = |chunk: Chunk| Origin {
        key: "step",
        value: chunk.header.trim().into(),
        place: chunk.place,
    };
    chunks.into_iter().map(origin).collect()
}
