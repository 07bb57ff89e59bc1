//! The answers of operations, on both sides: what a client would see after the game was moved.
//!
//! Rows that are alike do not say that answers are: a body for another dialect may read them differently. `answer`
//! compares two answers, `both` has one operation answered by both sides.

mod answer;
mod both;

pub use answer::{AnswerRow, Difference, RowDifference, Rules, Verdict, answer_rows};
pub use both::{Answers, Both, NoAnswer, OneSide, answers};
