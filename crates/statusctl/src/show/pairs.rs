//! Details of one thing: aligned `Name:  value` lines.

use unicode_width::UnicodeWidthStr as _;

use crate::show::{Look, Tint, clean};

/// Lines that grow one by one; what is not known is left out.
#[derive(Debug, Default)]
pub(crate) struct Pairs(Vec<(&'static str, String, Option<Tint>)>);

impl Pairs {
    pub(crate) fn add(&mut self, name: &'static str, value: impl AsRef<str>) -> &mut Self {
        self.tinted(name, value, None)
    }

    pub(crate) fn tinted(
        &mut self,
        name: &'static str,
        value: impl AsRef<str>,
        tint: Option<Tint>,
    ) -> &mut Self {
        self.0.push((name, clean(value.as_ref()), tint));
        self
    }

    pub(crate) fn maybe(&mut self, name: &'static str, value: Option<impl AsRef<str>>) -> &mut Self {
        if let Some(value) = value {
            self.add(name, value);
        }
        self
    }

    /// The lines. A value is never cut: a terminal breaks it, and a person wants it whole.
    pub(crate) fn render(&self, look: Look) -> String {
        let widest = self.0.iter().map(|(name, ..)| name.width()).max().unwrap_or(0);
        let line = |(name, value, tint): &(&str, String, Option<Tint>)| {
            let blanks = " ".repeat(widest - name.width() + 2);
            let name = look.paint(&format!("{name}:"), Some(Tint::Bold));
            format!("{name}{blanks}{}\n", look.paint(value, *tint))
        };
        self.0.iter().map(line).collect()
    }
}
