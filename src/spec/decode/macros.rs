//! Tables of fields and variants → implementations of `Decode`.

/// `Decode` for structs: every field by its name.
macro_rules! fields {
    ($($name:ident { $($field:ident),* $(,)? })*) => {$(
        impl $crate::spec::decode::Decode for $name {
            fn decode(
                node: &$crate::spec::syntax::Node,
                decoder: &mut $crate::spec::decode::Decoder,
            ) -> Self {
                let known = &[$(stringify!($field)),*];
                let Some(fields) =
                    $crate::spec::decode::Fields::of(node, stringify!($name), known, decoder)
                else {
                    return decoder.mismatch(node, concat!("the fields of `", stringify!($name), "`"));
                };
                Self { $($field: fields.take(stringify!($field), decoder)),* }
            }

            fn placeholder() -> Self {
                Self { $($field: $crate::spec::decode::Decode::placeholder()),* }
            }
        }
    )*};
}

/// Declares the raw form of structs: required fields and those with a default, each with its documentation.
macro_rules! raw {
    ($(
        $(#[$meta:meta])*
        struct $name:ident {
            $(required { $($(#[$rmeta:meta])* $required:ident: $rtype:ty),* $(,)? })?
            $(optional { $($(#[$ometa:meta])* $optional:ident: $otype:ty),* $(,)? })?
        }
    )*) => {$(
        $(#[$meta])*
        #[derive(Debug, Clone, schemars::JsonSchema)]
        #[schemars(deny_unknown_fields)]
        pub struct $name {
            $($($(#[$rmeta])* pub $required: $rtype,)*)?
            $($($(#[$ometa])* #[schemars(default)] pub $optional: $crate::spec::decode::Setting<$otype>,)*)?
        }

        $crate::spec::decode::fields! {
            $name { $($($required,)*)? $($($optional,)*)? }
        }
    )*};
}

/// `Decode` for enumerations: `Unit`, `Fields { a, b }` or `Content(_)` for each variant, after the words that
/// name the subject in messages.
macro_rules! variants {
    ($($name:ident, $subject:literal {
        $first:ident $({ $($ffield:ident),* })? $(($fany:tt))?
        $(, $variant:ident $({ $($field:ident),* })? $(($any:tt))?)* $(,)?
    })*) => {$(
        impl $crate::spec::decode::Decode for $name {
            fn decode(
                node: &$crate::spec::syntax::Node,
                decoder: &mut $crate::spec::decode::Decoder,
            ) -> Self {
                let known = &[stringify!($first) $(, stringify!($variant))*];
                let Some(variant) = $crate::spec::decode::Variant::of(node) else {
                    return $crate::spec::decode::unknown_variant(node, $subject, known, decoder);
                };
                $crate::spec::decode::variants!(@arm $name, variant, decoder, $first $({ $($ffield),* })? $(($fany))?);
                $($crate::spec::decode::variants!(@arm $name, variant, decoder, $variant $({ $($field),* })? $(($any))?);)*
                $crate::spec::decode::unknown_variant(node, $subject, known, decoder)
            }

            fn placeholder() -> Self {
                $crate::spec::decode::variants!(@placeholder $first $({ $($ffield),* })? $(($fany))?)
            }
        }
    )*};
    (@arm $name:ident, $given:ident, $decoder:ident, $variant:ident) => {
        if $given.name.text == stringify!($variant) {
            $given.report_content($decoder);
            return $name::$variant;
        }
    };
    (@arm $name:ident, $given:ident, $decoder:ident, $variant:ident { $($field:ident),* }) => {
        if $given.name.text == stringify!($variant) {
            let known = &[$(stringify!($field)),*];
            let Some(fields) =
                $crate::spec::decode::Fields::of(&$given.content, stringify!($variant), known, $decoder)
            else {
                return $decoder.mismatch(&$given.content, concat!("the fields of `", stringify!($variant), "`"));
            };
            return $name::$variant { $($field: fields.take(stringify!($field), $decoder)),* };
        }
    };
    (@arm $name:ident, $given:ident, $decoder:ident, $variant:ident ($any:tt)) => {
        if $given.name.text == stringify!($variant) {
            return $name::$variant($crate::spec::decode::Decode::decode(&$given.content, $decoder));
        }
    };
    (@placeholder $variant:ident) => { Self::$variant };
    (@placeholder $variant:ident { $($field:ident),* }) => {
        Self::$variant { $($field: $crate::spec::decode::Decode::placeholder()),* }
    };
    (@placeholder $variant:ident ($any:tt)) => {
        Self::$variant($crate::spec::decode::Decode::placeholder())
    };
}

pub(in crate::spec) use {fields, raw, variants};
