//! Declarations of the language's types → the types, how they are read and checked, and what is told of them.

/// Declares structs `field: Type = setting,` and enumerations whose variants have no content, such fields, or one value
/// `Variant(Type = setting)`. Each comes with `Decode` and `JsonSchema`. The words behind an enumeration's name are its
/// subject in messages. A field may have a `#[serde(…)]` behind its documentation, a variant a `#[default]`.
macro_rules! language {
    () => {};
    (
        $(#[doc = $doc:literal])*
        $(#[derive($($derive:path),* $(,)?)])?
        pub struct $name:ident {
            $(
                $(#[doc = $fdoc:literal])* $(#[serde($($serde:tt)*)])?
                $field:ident: $type:ty = $setting:expr,
            )*
        }
        $($rest:tt)*
    ) => {
        $(#[doc = $doc])*
        $(#[derive($($derive),*)])?
        pub struct $name {
            $($(#[doc = $fdoc])* $(#[serde($($serde)*)])? pub $field: $type,)*
        }

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
                Self { $($field: fields.take(stringify!($field), $setting, decoder)),* }
            }

            fn placeholder() -> Self {
                Self { $($field: $setting.stand_in),* }
            }

            fn check(
                &self,
                path: &str,
                _: Option<&$crate::spec::legal::Legal>,
                findings: &mut $crate::spec::rules::Findings,
            ) {
                $($crate::spec::decode::language!(@setting $type = $setting)
                    .check(&self.$field, path, stringify!($field), findings);)*
            }

            fn describe() -> Option<$crate::spec::setting::Type> {
                Some($crate::spec::setting::Type {
                    name: stringify!($name),
                    doc: $crate::spec::setting::lines(&[$($doc),*]),
                    body: $crate::spec::setting::Body::Fields($crate::spec::decode::language!(
                        @fields $([$($fdoc),*] $field: $type = $setting,)*
                    )),
                })
            }
        }

        $crate::spec::decode::language! { @schema $name }
        $crate::spec::decode::language! { $($rest)* }
    };
    (
        $(#[doc = $doc:literal])*
        $(#[derive($($derive:path),* $(,)?)])?
        pub enum $name:ident: $subject:literal {
            $(
                $(#[doc = $vdoc:literal])* $(#[default $($is_default:tt)?])?
                $variant:ident
                $({ $($(#[doc = $fdoc:literal])* $field:ident: $type:ty = $setting:expr,)* })?
                $(($content:ty = $csetting:expr))?
            ),* $(,)?
        }
        $($rest:tt)*
    ) => {
        $(#[doc = $doc])*
        $(#[derive($($derive),*)])?
        pub enum $name {
            $(
                $(#[doc = $vdoc])* $(#[default $($is_default)?])?
                $variant $({ $($(#[doc = $fdoc])* $field: $type),* })? $(($content))?
            ),*
        }

        impl $crate::spec::decode::Decode for $name {
            fn decode(
                node: &$crate::spec::syntax::Node,
                decoder: &mut $crate::spec::decode::Decoder,
            ) -> Self {
                let known = &[$(stringify!($variant)),*];
                if let Some(variant) = $crate::spec::decode::Variant::of(node) {
                    $(if variant.name.text == stringify!($variant) {
                        return $crate::spec::decode::language!(
                            @decode variant decoder $variant $({ $($field = $setting,)* })? $(($content))?
                        );
                    })*
                }
                $crate::spec::decode::unknown_variant(node, $subject, known, decoder)
            }

            fn placeholder() -> Self {
                $crate::spec::decode::language!(
                    @first $([$variant $({ $($field = $setting,)* })? $(($csetting))?])*
                )
            }

            fn check(
                &self,
                path: &str,
                _: Option<&$crate::spec::legal::Legal>,
                findings: &mut $crate::spec::rules::Findings,
            ) {
                // Of variants without content neither is read.
                let (_, _) = (path, &findings);
                match self {$(
                    Self::$variant
                        $({ $($field),* })?
                        $(($crate::spec::decode::language!(@pattern content $content)))? =>
                    {
                        $($($crate::spec::decode::language!(@setting $type = $setting)
                            .check($field, path, stringify!($field), findings);)*)?
                        $($crate::spec::decode::language!(@setting $content = $csetting)
                            .check_content(content, path, findings);)?
                    }
                )*}
            }

            fn describe() -> Option<$crate::spec::setting::Type> {
                Some($crate::spec::setting::Type {
                    name: stringify!($name),
                    doc: $crate::spec::setting::lines(&[$($doc),*]),
                    body: $crate::spec::setting::Body::Variants(vec![$(
                        $crate::spec::setting::Variant {
                            name: stringify!($variant),
                            doc: $crate::spec::setting::lines(&[$($vdoc),*]),
                            content: $crate::spec::decode::language!(
                                @content
                                $({ $([$($fdoc),*] $field: $type = $setting,)* })?
                                $(($content = $csetting))?
                            ),
                        }
                    ),*]),
                })
            }
        }

        $crate::spec::decode::language! { @schema $name }
        $crate::spec::decode::language! { $($rest)* }
    };
    (@schema $name:ident) => {
        impl schemars::JsonSchema for $name {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
                let described = <Self as $crate::spec::decode::Decode>::describe();
                $crate::spec::schema::of(described, generator)
            }
        }
    };
    (@setting $type:ty = $setting:expr) => {{
        let setting: $crate::spec::setting::Setting<$type> = $setting;
        setting
    }};
    (@fields $([$($doc:literal),*] $field:ident: $type:ty = $setting:expr,)*) => {
        vec![$($crate::spec::decode::language!(@setting $type = $setting)
            .field(stringify!($field), &[$($doc),*])),*]
    };
    (@content) => { $crate::spec::setting::Content::Nothing };
    (@content { $($fields:tt)* }) => {
        $crate::spec::setting::Content::Fields($crate::spec::decode::language!(@fields $($fields)*))
    };
    (@content ($type:ty = $setting:expr)) => {
        $crate::spec::setting::Content::Value(
            $crate::spec::decode::language!(@setting $type = $setting).field("", &[]),
        )
    };
    (@pattern $name:ident $type:ty) => { $name };
    (@first [$variant:ident $({ $($field:ident = $setting:expr,)* })? $(($content:expr))?] $($others:tt)*) => {
        Self::$variant $({ $($field: $setting.stand_in),* })? $(($content.stand_in))?
    };
    (@decode $given:ident $decoder:ident $variant:ident) => {{
        $given.report_content($decoder);
        Self::$variant
    }};
    (@decode $given:ident $decoder:ident $variant:ident { $($field:ident = $setting:expr,)* }) => {{
        let known = &[$(stringify!($field)),*];
        let Some(fields) =
            $crate::spec::decode::Fields::of(&$given.content, stringify!($variant), known, $decoder)
        else {
            return $decoder.mismatch(&$given.content, concat!("the fields of `", stringify!($variant), "`"));
        };
        Self::$variant { $($field: fields.take(stringify!($field), $setting, $decoder)),* }
    }};
    (@decode $given:ident $decoder:ident $variant:ident ($type:ty)) => {
        Self::$variant(<$type as $crate::spec::decode::Decode>::decode(&$given.content, $decoder))
    };
}

pub(in crate::spec) use language;
