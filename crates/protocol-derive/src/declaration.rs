//! A message's declaration: its struct and attributes, parsed and checked.

use proc_macro2::TokenStream;
use quote::quote;
use syn::meta::ParseNestedMeta;
use syn::spanned::Spanned;
use syn::{Data, DeriveInput, Error, Expr, Fields, Ident, LitInt, LitStr, Result, Type};

/// A range of versions, as in `"3"`, `"3-5"` or `"3+"`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Versions {
    pub min: i16,
    /// `i16::MAX` if open.
    pub max: i16,
}

impl Versions {
    pub const ALL: Versions = Versions {
        min: 0,
        max: i16::MAX,
    };

    fn parse(text: &LitStr) -> Result<Versions> {
        let value = text.value();
        let number = |digits: &str| {
            digits.parse::<i16>().map_err(|_| {
                Error::new(
                    text.span(),
                    "expected versions such as \"3\", \"3-5\" or \"3+\"",
                )
            })
        };
        let versions = if let Some(min) = value.strip_suffix('+') {
            Versions {
                min: number(min)?,
                max: i16::MAX,
            }
        } else if let Some((min, max)) = value.split_once('-') {
            Versions {
                min: number(min)?,
                max: number(max)?,
            }
        } else {
            let only = number(&value)?;
            Versions {
                min: only,
                max: only,
            }
        };
        if versions.min > versions.max {
            return Err(Error::new(text.span(), "the range of versions is empty"));
        }
        Ok(versions)
    }

    /// The test that `version`, known to be one of `within`, is one of these; `None` if that is always so.
    pub fn condition(self, within: Versions) -> Option<TokenStream> {
        let Versions { min, max } = self;
        match (min > within.min, max < within.max) {
            (false, false) => None,
            (true, false) => Some(quote!(version >= #min)),
            (false, true) => Some(quote!(version <= #max)),
            (true, true) => Some(quote!(::core::matches!(version, #min..=#max))),
        }
    }
}

/// The value of a field that is absent.
pub enum DefaultValue {
    /// Zero, false, empty, and for an `Option` that, not null.
    Zero,
    Null,
    Literal(Expr),
}

/// One field of a struct.
pub struct Field {
    pub ident: Ident,
    /// The type within `Option`, where there is one.
    pub inner: Type,
    pub optional: bool,
    pub versions: Versions,
    pub nullable: Versions,
    pub default: DefaultValue,
    pub ignorable: bool,
    pub tag: Option<u32>,
    pub never_flexible: bool,
}

/// What a message has and a struct within one has not.
pub struct Top {
    pub versions: Versions,
    /// The first flexible version; `i16::MAX` if there is none.
    pub flexible: i16,
}

/// A struct with its fields, in wire order.
pub struct Declaration {
    pub ident: Ident,
    pub top: Option<Top>,
    pub fields: Vec<Field>,
}

impl Declaration {
    /// Reads and checks a declaration.
    pub fn parse(input: &DeriveInput) -> Result<Declaration> {
        let Data::Struct(data) = &input.data else {
            return Err(Error::new(input.span(), "a message is a struct"));
        };
        let fields = match &data.fields {
            Fields::Named(named) => named
                .named
                .iter()
                .map(Field::parse)
                .collect::<Result<Vec<_>>>()?,
            Fields::Unit => Vec::new(),
            Fields::Unnamed(_) => {
                return Err(Error::new(input.span(), "a message's fields have names"));
            }
        };
        let declaration = Declaration {
            ident: input.ident.clone(),
            top: Top::parse(input)?,
            fields,
        };
        declaration.check_tags()?;
        Ok(declaration)
    }

    /// The versions that a codec of this struct can be asked for.
    pub fn versions(&self) -> Versions {
        self.top.as_ref().map_or(Versions::ALL, |top| top.versions)
    }

    /// The tagged fields, by ascending tag: that is their order on the wire.
    pub fn tagged(&self) -> Vec<(u32, &Field)> {
        let mut tagged: Vec<_> = self
            .fields
            .iter()
            .filter_map(|field| Some((field.tag?, field)))
            .collect();
        tagged.sort_by_key(|(tag, _)| *tag);
        tagged
    }

    fn check_tags(&self) -> Result<()> {
        for (expected, (tag, field)) in self.tagged().into_iter().enumerate() {
            if tag as usize != expected {
                return Err(Error::new(
                    field.ident.span(),
                    "tags count from 0, each once",
                ));
            }
            if self
                .top
                .as_ref()
                .is_some_and(|top| field.versions.min < top.flexible)
            {
                return Err(Error::new(
                    field.ident.span(),
                    "a tagged field exists in flexible versions only",
                ));
            }
        }
        Ok(())
    }
}

impl Top {
    fn parse(input: &DeriveInput) -> Result<Option<Top>> {
        let Some(attribute) = input
            .attrs
            .iter()
            .find(|attribute| attribute.path().is_ident("message"))
        else {
            return Ok(None);
        };
        let mut versions = None;
        let mut flexible = None;
        attribute.parse_nested_meta(|meta| {
            if meta.path.is_ident("versions") {
                versions = Some(Versions::parse(&meta.value()?.parse()?)?);
            } else if meta.path.is_ident("flexible") {
                let text: LitStr = meta.value()?.parse()?;
                flexible = Some(if text.value() == "none" {
                    i16::MAX
                } else {
                    Versions::parse(&text)?.min
                });
            } else {
                return Err(meta.error("expected `versions` or `flexible`"));
            }
            Ok(())
        })?;
        match (versions, flexible) {
            (Some(versions), Some(flexible)) => Ok(Some(Top { versions, flexible })),
            _ => Err(Error::new(
                attribute.span(),
                "a message states its `versions` and from which it is `flexible`",
            )),
        }
    }
}

impl Field {
    fn parse(field: &syn::Field) -> Result<Field> {
        let ident = field.ident.clone().expect("only named fields are parsed");
        let (inner, optional) = match option_argument(&field.ty) {
            Some(inner) => (inner.clone(), true),
            None => (field.ty.clone(), false),
        };
        let mut nullable = None;
        let mut parsed = Field {
            ident,
            inner,
            optional,
            versions: Versions::ALL,
            nullable: Versions::ALL,
            default: DefaultValue::Zero,
            ignorable: false,
            tag: None,
            never_flexible: false,
        };
        for attribute in field
            .attrs
            .iter()
            .filter(|attribute| attribute.path().is_ident("field"))
        {
            attribute.parse_nested_meta(|meta| parsed.apply(&meta, &mut nullable))?;
        }
        parsed.nullable = nullable.unwrap_or(parsed.versions);
        if !optional && (nullable.is_some() || matches!(parsed.default, DefaultValue::Null)) {
            return Err(Error::new(field.span(), "only an `Option` can be null"));
        }
        Ok(parsed)
    }

    fn apply(&mut self, meta: &ParseNestedMeta<'_>, nullable: &mut Option<Versions>) -> Result<()> {
        if meta.path.is_ident("versions") {
            self.versions = Versions::parse(&meta.value()?.parse()?)?;
        } else if meta.path.is_ident("nullable") {
            *nullable = Some(Versions::parse(&meta.value()?.parse()?)?);
        } else if meta.path.is_ident("default") {
            let value: Expr = meta.value()?.parse()?;
            let null = matches!(&value, Expr::Path(path) if path.path.is_ident("null"));
            self.default = if null {
                DefaultValue::Null
            } else {
                DefaultValue::Literal(value)
            };
        } else if meta.path.is_ident("ignorable") {
            self.ignorable = true;
        } else if meta.path.is_ident("tag") {
            self.tag = Some(meta.value()?.parse::<LitInt>()?.base10_parse()?);
        } else if meta.path.is_ident("flexible") {
            let text: LitStr = meta.value()?.parse()?;
            if text.value() != "none" {
                return Err(meta.error("a field's `flexible` can only be \"none\""));
            }
            self.never_flexible = true;
        } else {
            return Err(
                meta.error("expected versions, nullable, default, ignorable, tag or flexible")
            );
        }
        Ok(())
    }
}

/// `T` of `Option<T>`.
fn option_argument(ty: &Type) -> Option<&Type> {
    let Type::Path(path) = ty else { return None };
    let last = path.path.segments.last()?;
    if last.ident != "Option" {
        return None;
    }
    let syn::PathArguments::AngleBracketed(arguments) = &last.arguments else {
        return None;
    };
    match arguments.args.first()? {
        syn::GenericArgument::Type(inner) => Some(inner),
        _ => None,
    }
}
