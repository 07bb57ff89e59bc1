//! What an operation gives back by the names of its contract: the values of a procedure, its cursors, and what a
//! `RETURNING` tells of a changed row.

use super::{BusinessError, Column, Comparison, Scalar, Source};

/// `@out`: a value that a procedure or a `RETURNING` gives back, or the rows of a cursor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// One value.
    Value(Column),
    /// `rows(…)`: a list of rows. On Oracle a parameter of type `SYS_REFCURSOR`, on MySQL a result set.
    Rows {
        /// Its name.
        name: Box<str>,
        /// The columns of each row.
        columns: Box<[Column]>,
    },
}

impl Output {
    /// The name of its member in the reply.
    pub fn name(&self) -> &str {
        match self {
            Self::Value(column) => &column.name,
            Self::Rows { name, .. } => name,
        }
    }

    /// As its type is written: `bigint`, `rows(item_type int, qty int)`.
    pub fn type_as_written(&self) -> String {
        match self {
            Self::Value(column) => column.ty.as_written(),
            Self::Rows { columns, .. } => {
                let column = |one: &Column| format!("{} {}", one.name, one.ty.as_written());
                format!("rows({})", columns.iter().map(column).collect::<Vec<_>>().join(", "))
            }
        }
    }
}

/// What a `call` calls: the arguments of its `CALL name(…)`, and what its answers mean.
#[derive(Clone, Debug, PartialEq)]
pub struct Procedure {
    /// As the body names it, with its package or schema.
    pub name: Box<str>,
    /// Its arguments, in order.
    pub arguments: Vec<Argument>,
    /// `@guard`, in order: what must hold of its values.
    pub guards: Vec<OutputGuard>,
    /// `@on raised`: what the errors that it raises itself mean.
    pub raised: Vec<Raised>,
}

impl Procedure {
    /// For each placeholder of the statement, in order: which output it gives back, if any.
    pub fn directions(&self) -> impl Iterator<Item = Option<usize>> {
        self.arguments.iter().filter_map(|argument| match &argument.value {
            ArgumentValue::Bind { output, .. } => Some(*output),
            ArgumentValue::Literal => None,
        })
    }
}

/// An argument of a `CALL`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Argument {
    /// `p_player_id =>`, which Oracle has; lower case.
    pub name: Option<Box<str>>,
    /// What is passed.
    pub value: ArgumentValue,
}

/// What is passed to a procedure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ArgumentValue {
    /// A literal, which stands in the text.
    Literal,
    /// A bind.
    Bind {
        /// Where its value comes from; [`Source::Out`] where none goes in.
        source: Source,
        /// What comes back: index into [`super::Template::outputs`]. `None`: nothing.
        output: Option<usize>,
    },
}

/// `@guard outcome = 0 else 2161 REWARD_TAKEN [409]`.
#[derive(Clone, Debug, PartialEq)]
pub struct OutputGuard {
    /// Index into [`super::Template::outputs`].
    pub output: usize,
    /// How its value compares. NULL compares with nothing: the guard fails.
    pub comparison: Comparison,
    /// With what, in the output's type.
    pub literal: Scalar<'static>,
    /// What a failure answers.
    pub error: BusinessError,
}

/// `@on raised 20101 else 2162 GUILD_FULL [409]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Raised {
    /// The number that the procedure raises: `RAISE_APPLICATION_ERROR(-20101, …)`, `MYSQL_ERRNO = 20101`.
    pub number: u16,
    /// What it answers.
    pub error: BusinessError,
}
