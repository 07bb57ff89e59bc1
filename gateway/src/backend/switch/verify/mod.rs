//! The answers of operations, on both sides: what a client would see after the game was moved.
//!
//! Rows that are alike do not say that answers are: a body for another dialect may read them differently. `answer`
//! compares two answers; `both` has one operation answered by both sides, for `gateway diff`. Of a running gateway's
//! reads `sample` takes some, `shadow` and `game` have them answered by the mirror, `settle` looks again at what differs, `book`
//! writes down what came of it, and `steps` are what an operator asks for.

mod answer;
mod book;
mod both;
mod game;
mod sample;
mod settle;
mod shadow;
mod steps;

pub use answer::{AnswerRow, Difference, RowDifference, Rules, Verdict, answer_rows};
pub use book::{Mismatch, ShadowFigures};
#[cfg(test)]
#[cfg(all(feature = "mysql", feature = "sqlite"))]
pub(super) use book::{Tally, add as add_tallies};
pub use both::{Answers, Both, NoAnswer, OneSide, answers};
pub(in crate::backend) use sample::Answered;
pub use sample::{PPM, Sampler};
pub use shadow::Shadows;
pub use steps::{Verified, set_sample, verified, watch};
