//! The notation of the table of settings. A row has everything about a setting, and the rest derives from it.
//!
//! A row is
//!
//! ```text
//! /// What it means.
//! field: Type = flag("group.field", "VALUE") default("...") range("...", "...") arg(...) serde(...) at(Restart);
//! ```
//!
//! `default` and `range` are optional, and written as on the command line. `arg` and `serde` are further attributes for
//! clap and serde.

use std::time::Duration;

use super::InvalidError;

/// A row of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Setting {
    /// The name, as a flag without dashes. The key in the file is the same with `_` for `-`.
    pub name: &'static str,
    /// The default, as on the command line. Without one, the setting is absent, or its help names the default.
    pub default: Option<&'static str>,
    /// The minimum and maximum value.
    pub range: Option<(&'static str, &'static str)>,
    /// When a change takes effect.
    pub effect: Effect,
}

/// When a change of a setting takes effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// At a start of the daemon.
    Restart,
    /// At a reload of the configuration.
    Reload,
}

/// A group of settings.
pub(super) trait Group: Sized {
    /// Fills unset values from the other group.
    fn or(self, other: Self) -> Self;

    /// Adds the rows of the table, in order.
    fn rows(rows: &mut Vec<Setting>);

    /// Fails on the first value that is out of range.
    fn check(&self) -> Result<(), InvalidError>;

    /// Adds the names of settings that differ from the other's and need a restart.
    fn differing(&self, other: &Self, names: &mut Vec<&'static str>);
}

/// Declares a group of settings: a struct with fields that are flags and keys at once, each of them optional. For a
/// setting with a default, a method with the field's name returns the value after
/// [`Settings::with_defaults`](super::Settings) has filled it in.
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
                /// Returns the value. The default must be filled in.
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

/// Returns the text of `--help`: the meaning on one line, and the default.
pub(super) fn help(doc: &str, default: &[&str]) -> String {
    let meaning = doc.trim();
    match default {
        [] => meaning.strip_suffix('.').unwrap_or(meaning).to_owned(),
        default => format!("{meaning} [default: {}]", default.concat()),
    }
}

/// Returns an optional part of a row, if present.
pub(super) fn first<T: Copy>(items: &[T]) -> Option<T> {
    items.first().copied()
}

/// A value that can have a range.
pub(super) trait Ranged: PartialOrd + Sized {
    /// Parses a bound of the table.
    fn bound(text: &str) -> Option<Self>;

    /// Returns the bound as people write it.
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

/// Whether a value, if present, is in range.
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
