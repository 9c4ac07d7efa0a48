//! How the table of settings is written: a row says all of a setting, and everything else derives from it.
//!
//! A row is
//!
//! ```text
//! /// What it means.
//! field: Type = flag("group.field", "VALUE") default("...") range("...", "...") arg(...) serde(...) at(Restart);
//! ```
//!
//! `default` and `range` are optional and written as on the command line; `arg` and `serde` are what else clap and
//! serde have to know.

use std::time::Duration;

use super::InvalidError;

/// What the table says of a setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Setting {
    /// Its name, as a flag without dashes; the key in the file is the same with `_` for `-`.
    pub name: &'static str,
    /// Its default, as it would be written on the command line. Without, it is not set, or its help says what holds.
    pub default: Option<&'static str>,
    /// The least and the greatest value.
    pub range: Option<(&'static str, &'static str)>,
    /// When a change takes effect.
    pub effect: Effect,
}

/// When a change of a setting takes effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// When the daemon starts.
    Restart,
    /// When the configuration is reloaded.
    Reload,
}

/// Settings that belong together.
pub(super) trait Group: Sized {
    /// Takes what is set here, and from the other what is not.
    fn or(self, other: Self) -> Self;

    /// Adds the rows of the table, in its order.
    fn rows(rows: &mut Vec<Setting>);

    /// Fails on the first value that is out of its range.
    fn check(&self) -> Result<(), InvalidError>;

    /// Adds the names of settings that differ from the other's and take effect at a start only.
    fn differing(&self, other: &Self, names: &mut Vec<&'static str>);
}

/// Declares a group of settings: a struct whose fields are flags and keys at once, each of them optional. Of a setting
/// that has a default, a method of the field's name tells the value, once [`Settings::with_defaults`](super::Settings)
/// has filled it in.
macro_rules! group {
    (
        $(#[doc = $group_doc:literal])+
        $name:ident {
            $(
                $(#[doc = $doc:literal])+
                $field:ident: $type:ty = flag($flag:literal, $value:literal)
                    $(default($default:literal))? $(range($least:literal, $most:literal))?
                    $(arg($($arg:tt)+))? $(serde($($serde:tt)+))? at($effect:ident);
            )*
            $(groups { $($(#[doc = $sub_doc:literal])+ $sub:ident: $sub_type:ty;)+ })?
            $(keys { $($(#[doc = $key_doc:literal])+ $key:ident: $key_type:ty;)+ })?
        }
    ) => {
        $(#[doc = $group_doc])+
        #[derive(Clone, Debug, Default, PartialEq, clap::Args, serde::Deserialize)]
        #[serde(deny_unknown_fields, default)]
        pub struct $name {
            $(
                $(#[doc = $doc])+
                #[arg(
                    id = $flag,
                    long = $flag,
                    value_name = $value,
                    help = group::help(concat!($($doc),+), &[$($default)?])
                    $(, $($arg)+)?
                )]
                $(#[serde($($serde)+)])?
                pub $field: Option<$type>,
            )*
            $($($(#[doc = $sub_doc])+ #[command(flatten)] pub $sub: $sub_type,)+)?
            $($($(#[doc = $key_doc])+ #[arg(skip)] pub $key: $key_type,)+)?
        }

        impl $name {
            $($(
                /// The value, whose default is filled in.
                pub(super) fn $field(&self) -> $type {
                    self.$field.clone().expect(concat!($flag, " has the default ", $default))
                }
            )?)*
        }

        impl Group for $name {
            fn or(self, other: Self) -> Self {
                Self {
                    $($field: self.$field.or(other.$field),)*
                    $($($sub: Group::or(self.$sub, other.$sub),)+)?
                    $($($key: self.$key.or(other.$key),)+)?
                }
            }

            fn rows(rows: &mut Vec<Setting>) {
                $(
                    rows.push(Setting {
                        name: $flag,
                        default: group::first(&[$($default)?]),
                        range: group::first(&[$(($least, $most))?]),
                        effect: Effect::$effect,
                    });
                )*
                $($(<$sub_type>::rows(rows);)+)?
            }

            fn check(&self) -> Result<(), InvalidError> {
                $($(group::check($flag, self.$field.as_ref(), $least, $most)?;)?)*
                $($(self.$sub.check()?;)+)?
                Ok(())
            }

            fn differing(&self, other: &Self, names: &mut Vec<&'static str>) {
                $(
                    if Effect::$effect == Effect::Restart && self.$field != other.$field {
                        names.push($flag);
                    }
                )*
                $($(self.$sub.differing(&other.$sub, names);)+)?
            }
        }
    };
}

pub(super) use group;

/// The text of `--help`: the meaning on one line, and the default.
pub(super) fn help(doc: &str, default: &[&str]) -> String {
    let meaning = doc.trim();
    match default {
        [] => meaning.strip_suffix('.').unwrap_or(meaning).to_owned(),
        default => format!("{meaning} [default: {}]", default.concat()),
    }
}

/// What is optional in a row, if it is there.
pub(super) fn first<T: Copy>(items: &[T]) -> Option<T> {
    items.first().copied()
}

/// A value that can have a range.
pub(super) trait Ranged: PartialOrd + Sized {
    /// A bound, as it is written in the table.
    fn bound(text: &str) -> Option<Self>;

    /// As people write it.
    fn written(&self) -> String;
}

macro_rules! ranged_numbers {
    ($($type:ty),+) => {$(
        impl Ranged for $type {
            fn bound(text: &str) -> Option<Self> {
                text.parse().ok()
            }

            fn written(&self) -> String {
                self.to_string()
            }
        }
    )+};
}

ranged_numbers!(u32, usize);

impl Ranged for Duration {
    fn bound(text: &str) -> Option<Self> {
        humantime::parse_duration(text).ok()
    }

    fn written(&self) -> String {
        humantime::format_duration(*self).to_string()
    }
}

/// Whether a value, where there is one, is in its range.
pub(super) fn check<T: Ranged>(
    setting: &'static str,
    value: Option<&T>,
    least: &'static str,
    most: &'static str,
) -> Result<(), InvalidError> {
    let [lower, upper] =
        [least, most].map(|bound| T::bound(bound).expect("the table has bounds of the setting's type"));
    match value.filter(|value| !(lower..=upper).contains(value)) {
        Some(value) => Err(InvalidError::Range { setting, value: value.written(), least, most }),
        None => Ok(()),
    }
}
