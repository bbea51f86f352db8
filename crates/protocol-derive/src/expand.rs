//! The code that a declaration stands for.
//!
//! Reader and writer are sticky: they remember the first error and go on doing nothing. The derived code therefore has
//! no branch per field for errors, which keeps it small, quick to compile and quick to run.

use proc_macro2::TokenStream;
use quote::quote;
use syn::ext::IdentExt;

use crate::declaration::{Declaration, DefaultValue, Field, Versions};

/// All that the derive writes.
pub fn expand(declaration: &Declaration) -> TokenStream {
    let default = default_impl(declaration);
    let wire = wire_impl(declaration);
    let message = message_impl(declaration);
    let introspect = introspect_impl(declaration);
    quote! { #default #wire #message #introspect }
}

fn default_impl(declaration: &Declaration) -> TokenStream {
    let ident = &declaration.ident;
    let fields = declaration.fields.iter().map(|field| {
        let name = &field.ident;
        let value = default_value(field);
        quote!(#name: #value)
    });
    quote! {
        #[automatically_derived]
        impl ::core::default::Default for #ident {
            fn default() -> Self {
                Self { #(#fields),* }
            }
        }
    }
}

fn wire_impl(declaration: &Declaration) -> TokenStream {
    let ident = &declaration.ident;
    let within = declaration.versions();
    let reads = declaration.fields.iter().map(|field| {
        let name = &field.ident;
        let value = if field.tag.is_some() {
            default_value(field)
        } else {
            read_or_default(field, within)
        };
        quote!(#name: #value)
    });
    let read_tags = read_tags(declaration);
    let writes = declaration
        .fields
        .iter()
        .map(|field| write_field(field, within));
    let write_tags = write_tags(declaration);
    let mutable = (!declaration.tagged().is_empty()).then(|| quote!(mut));
    quote! {
        #[automatically_derived]
        impl ::wiber_protocol::Wire for #ident {
            const MIN_BYTES: usize = 1;

            #[allow(unused_variables)]
            fn read(reader: &mut ::wiber_protocol::Reader, field: &'static str) -> Self {
                let version = reader.version();
                let #mutable this = Self { #(#reads),* };
                #read_tags
                this
            }

            #[allow(unused_variables)]
            fn write(&self, writer: &mut ::wiber_protocol::Writer, field: &'static str) {
                let version = writer.version();
                #(#writes)*
                #write_tags
            }
        }

        #[automatically_derived]
        impl ::wiber_protocol::Nullable for #ident {}
    }
}

fn message_impl(declaration: &Declaration) -> TokenStream {
    let Some(top) = &declaration.top else {
        return TokenStream::new();
    };
    let ident = &declaration.ident;
    let name = ident.to_string();
    let Versions { min, max } = top.versions;
    let flexible = top.flexible;
    quote! {
        #[automatically_derived]
        impl ::wiber_protocol::Message for #ident {
            const NAME: &'static str = #name;
            const VERSIONS: ::wiber_protocol::Versions = ::wiber_protocol::Versions { min: #min, max: #max };
            const FIRST_FLEXIBLE: i16 = #flexible;
        }
    }
}

/// Random values and JSON, for the tests and for the comparison with Kafka's own classes.
fn introspect_impl(declaration: &Declaration) -> TokenStream {
    let ident = &declaration.ident;
    let within = declaration.versions();
    let randoms = declaration.fields.iter().map(|field| {
        let name = &field.ident;
        let inner = &field.inner;
        let random = quote!(<#inner as ::wiber_protocol::introspect::Introspect>::random(random));
        let random = match (
            field.optional,
            field.nullable.condition(narrow(field.versions, within)),
        ) {
            (false, _) => random,
            (true, None) => quote!(random.present(true).then(|| #random)),
            (true, Some(condition)) => quote!(random.present(#condition).then(|| #random)),
        };
        let default = default_value(field);
        let draws = quote!(random.draws::<#inner>());
        let tagged = field.tag.map(|_| quote!(random.tagged()));
        let conditions = field.versions.condition(within).into_iter().chain(tagged);
        let condition = conditions.fold(draws, |left, right| quote!(#left && #right));
        quote!(#name: if #condition { #random } else { #default })
    });
    let members = declaration.fields.iter().map(|field| {
        let name = &field.ident;
        let key = camel_case(&name.unraw().to_string());
        let json = quote!(::wiber_protocol::introspect::Introspect::to_json);
        let value = if field.optional {
            quote!(self.#name.as_ref().map_or(::serde_json::Value::Null, |value| #json(value, version)))
        } else {
            quote!(#json(&self.#name, version))
        };
        let mut insert = quote!(object.insert(#key.to_owned(), #value););
        if field.tag.is_some() {
            let is_default = is_default(field);
            insert = quote!(if !#is_default { #insert });
        }
        match field.versions.condition(within) {
            None => insert,
            Some(condition) => quote!(if #condition { #insert }),
        }
    });
    quote! {
        #[cfg(any(test, feature = "introspect"))]
        #[automatically_derived]
        impl ::wiber_protocol::introspect::Introspect for #ident {
            const STRUCTS: bool = true;

            #[allow(unused_variables)]
            fn random(random: &mut ::wiber_protocol::introspect::Random) -> Self {
                let version = random.version();
                Self { #(#randoms),* }
            }

            #[allow(unused_variables, unused_mut)]
            fn to_json(&self, version: i16) -> ::serde_json::Value {
                let mut object = ::serde_json::Map::new();
                #(#members)*
                ::serde_json::Value::Object(object)
            }
        }
    }
}

fn default_value(field: &Field) -> TokenStream {
    let inner = &field.inner;
    let value = match &field.default {
        DefaultValue::Null => return quote!(::core::option::Option::None),
        DefaultValue::Zero => quote!(<#inner as ::core::default::Default>::default()),
        DefaultValue::Literal(literal) => quote!(#literal),
    };
    if field.optional {
        quote!(::core::option::Option::Some(#value))
    } else {
        value
    }
}

fn is_default(field: &Field) -> TokenStream {
    let name = &field.ident;
    match (&field.default, field.optional) {
        (DefaultValue::Null, _) => quote!(self.#name.is_none()),
        (DefaultValue::Literal(literal), false) => quote!((self.#name == #literal)),
        _ => {
            let default = default_value(field);
            quote!((self.#name == #default))
        }
    }
}

fn narrow(versions: Versions, within: Versions) -> Versions {
    Versions {
        min: versions.min.max(within.min),
        max: versions.max.min(within.max),
    }
}

fn read_or_default(field: &Field, within: Versions) -> TokenStream {
    let read = read_present(field, within);
    match field.versions.condition(within) {
        None => read,
        Some(condition) => {
            let default = default_value(field);
            quote!(if #condition { #read } else { #default })
        }
    }
}

/// Reads a field that the version has.
fn read_present(field: &Field, within: Versions) -> TokenStream {
    let inner = &field.inner;
    let name = field.ident.unraw().to_string();
    let read = quote!(<#inner as ::wiber_protocol::Wire>::read(reader, #name));
    let read_nullable =
        quote!(<#inner as ::wiber_protocol::Nullable>::read_nullable(reader, #name));
    let read = match (
        field.optional,
        field.nullable.condition(narrow(field.versions, within)),
    ) {
        (false, _) => read,
        (true, None) => read_nullable,
        (true, Some(condition)) => quote! {
            if #condition { #read_nullable } else { ::core::option::Option::Some(#read) }
        },
    };
    if field.never_flexible {
        quote!({ let flexible = reader.set_flexible(false); let value = #read; reader.set_flexible(flexible); value })
    } else {
        read
    }
}

fn read_tags(declaration: &Declaration) -> TokenStream {
    let tagged = declaration.tagged();
    if tagged.is_empty() {
        return quote!(reader.skip_tags(););
    }
    let within = declaration.versions();
    let arms = tagged.into_iter().map(|(tag, field)| {
        let name = &field.ident;
        let read = read_present(field, within);
        let guard = field
            .versions
            .condition(within)
            .map(|condition| quote!(if #condition));
        quote!(#tag #guard => this.#name = #read,)
    });
    quote! {
        reader.read_tags(&mut |reader, tag| {
            match tag {
                #(#arms)*
                _ => return false,
            }
            true
        });
    }
}

/// Writes a field, or, in a version that lacks it, checks that nothing is lost.
fn write_field(field: &Field, within: Versions) -> TokenStream {
    let name_text = field.ident.unraw().to_string();
    let present = if field.tag.is_some() {
        quote!()
    } else {
        write_present(field, within)
    };
    let Some(condition) = field.versions.condition(within) else {
        return present;
    };
    if field.ignorable {
        return if field.tag.is_some() {
            quote!()
        } else {
            quote!(if #condition { #present })
        };
    }
    let is_default = is_default(field);
    quote! {
        if #condition { #present } else if !#is_default { writer.refuse_field(#name_text); }
    }
}

/// Writes a field that the version has.
fn write_present(field: &Field, within: Versions) -> TokenStream {
    let inner = &field.inner;
    let name = &field.ident;
    let text = name.unraw().to_string();
    let nullable = quote!(<#inner as ::wiber_protocol::Nullable>::write_nullable(self.#name.as_ref(), writer, #text););
    let write = match (
        field.optional,
        field.nullable.condition(narrow(field.versions, within)),
    ) {
        (false, _) => quote!(::wiber_protocol::Wire::write(&self.#name, writer, #text);),
        (true, None) => nullable,
        (true, Some(condition)) => quote! {
            if #condition { #nullable } else { writer.write_not_null(self.#name.as_ref(), #text); }
        },
    };
    if field.never_flexible {
        quote!(let flexible = writer.set_flexible(false); #write writer.set_flexible(flexible);)
    } else {
        write
    }
}

fn write_tags(declaration: &Declaration) -> TokenStream {
    let tagged = declaration.tagged();
    if tagged.is_empty() {
        return quote!(writer.write_no_tags(););
    }
    let within = declaration.versions();
    let present = tagged.iter().map(|(_, field)| {
        let is_default = is_default(field);
        match field.versions.condition(within) {
            None => quote!(!#is_default),
            Some(condition) => quote!(#condition && !#is_default),
        }
    });
    let writes = tagged.iter().enumerate().map(|(index, (tag, field))| {
        let write = write_present(field, within);
        quote! {
            if present[#index] {
                let start = writer.begin_tag(#tag);
                #write
                writer.end_tag(start);
            }
        }
    });
    quote! {
        if writer.flexible() {
            let present = [#(#present),*];
            writer.write_tag_count(&present);
            #(#writes)*
        }
    }
}

/// Kafka's name of a field: `transactional_id` is `transactionalId` in its JSON.
fn camel_case(snake: &str) -> String {
    let mut name = String::with_capacity(snake.len());
    let mut upper = false;
    for letter in snake.chars() {
        if letter == '_' {
            upper = true;
        } else if upper {
            name.push(letter.to_ascii_uppercase());
            upper = false;
        } else {
            name.push(letter);
        }
    }
    name
}
