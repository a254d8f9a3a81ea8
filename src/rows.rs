//! Declares an enum together with a value for each of its variants.

/// Declares an enum in which each variant is a row with a value. `ALL` has every variant and the function every value,
/// so that a new variant is one row and cannot be forgotten in a list; a function could not guarantee that. A second
/// function, if it is named, returns the variant's doc comment, for the reference.
macro_rules! rows {
    (
        $(#[$of_enum:meta])* $visibility:vis enum $name:ident;
        $(#[$of_column:meta])* $column_visibility:vis fn $column:ident -> $value:ty, $meaning:ident;
        $($(#[doc = $of_variant:literal])+ $variant:ident = $row:expr;)+
    ) => {
        $crate::rows::rows! {
            $(#[$of_enum])* $visibility enum $name;
            $(#[$of_column])* $column_visibility fn $column -> $value;
            $($(#[doc = $of_variant])+ $variant = $row;)+
        }

        impl $name {
            /// Its meaning, for the reference.
            pub const fn $meaning(self) -> &'static str {
                match self { $(Self::$variant => const { concat!($($of_variant),+).trim_ascii() },)+ }
            }
        }
    };
    (
        $(#[$of_enum:meta])* $visibility:vis enum $name:ident;
        $(#[$of_column:meta])* $column_visibility:vis fn $column:ident -> $value:ty;
        $($(#[$of_variant:meta])* $variant:ident = $row:expr;)+
    ) => {
        $(#[$of_enum])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        $visibility enum $name { $($(#[$of_variant])* $variant,)+ }

        impl $name {
            /// Every variant, in the order of the declaration.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            $(#[$of_column])*
            $column_visibility const fn $column(self) -> $value {
                match self { $(Self::$variant => const { $row },)+ }
            }
        }
    };
}

pub(crate) use rows;
