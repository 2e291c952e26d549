//! One macro for enums that have a fixed spelling, so that spelling, parsing and listing never drift apart.

use std::fmt;

/// A text that is none of an enum's labels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnknownLabel {
    /// Which enum was asked.
    pub kind: &'static str,
    /// What was given.
    pub given: String,
}

impl fmt::Display for UnknownLabel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} is not a {}", self.given, self.kind)
    }
}

impl std::error::Error for UnknownLabel {}

macro_rules! labels {
    ($(#[$meta:meta])* $name:ident { $($(#[$vmeta:meta])* $variant:ident = $label:literal),+ $(,)? }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name { $($(#[$vmeta])* $variant),+ }

        impl $name {
            /// Every value, in the order of declaration.
            pub const ALL: &'static [$name] = &[$($name::$variant),+];

            /// The label used in the database, on the wire and in output.
            pub const fn as_str(self) -> &'static str {
                match self { $($name::$variant => $label),+ }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl std::str::FromStr for $name {
            type Err = $crate::labels::UnknownLabel;
            fn from_str(text: &str) -> Result<Self, Self::Err> {
                match text {
                    $($label => Ok($name::$variant),)+
                    other => Err($crate::labels::UnknownLabel { kind: stringify!($name), given: other.to_owned() }),
                }
            }
        }
    };
}
pub(crate) use labels;
