//! Keeps the text of a family's series and renders only what changed.
//!
//! Each key (a workload) has data behind an [`Arc`]. Keys are sorted, and neighbours share a chunk of text, which is
//! compressed as a whole. [`Chunks::update`] renders keys that are new or have other data. It copies the text of other
//! keys in changed chunks, and leaves unchanged chunks and their compressed form alone.
//!
//! Chunks are cut like the leaves of a B-tree, so a change concerns its own chunk. A chunk that grows beyond [`MAX`] is
//! halved. Two neighbours, one of them below [`MIN`], are merged if they fit. So a key that is added, removed or
//! changed touches its own chunk and at most two neighbours. Names cannot make a chunk grow without limit or move
//! borders of other chunks. (Borders by a hash of the keys would need no history, but a bound on both sizes moves later
//! borders, and an attacker who chooses names chooses hashes.)

use std::{
    iter::Peekable,
    mem,
    sync::{Arc, Weak},
    vec,
};

use axum::body::Bytes;

use super::gzip::Text;

/// Maximum bytes of a chunk with several keys. New chunks have half of it.
const MAX: usize = 64 << 10;

/// Smaller chunks join a neighbour.
const MIN: usize = 8 << 10;

/// The chunks of one family in one format.
#[derive(Debug)]
pub(crate) struct Chunks<K, T> {
    chunks: Vec<Chunk<K, T>>,
}

impl<K, T> Default for Chunks<K, T> {
    fn default() -> Self {
        Self { chunks: Vec::new() }
    }
}

#[derive(Debug)]
struct Chunk<K, T> {
    entries: Vec<KeyText<K, T>>,
    text: Arc<Text>,
}

/// One key's part of a chunk.
#[derive(Debug)]
struct KeyText<K, T> {
    key: K,
    /// Keeps the address of the data from being reused, and [`Arc::make_mut`] from changing the data in place. Does not
    /// keep the data alive.
    data: Weak<T>,
    /// End of its text in the chunk.
    end: usize,
}

impl<K: PartialEq, T> KeyText<K, T> {
    fn is(&self, key: &K, data: &Arc<T>) -> bool {
        std::ptr::eq(self.data.as_ptr(), Arc::as_ptr(data)) && self.key == *key
    }
}

impl<K, T> Chunks<K, T> {
    /// Returns the texts of the chunks, in order.
    pub(crate) fn texts(&self) -> impl Iterator<Item = &Arc<Text>> {
        self.chunks.iter().map(|chunk| &chunk.text)
    }

    /// Whether no key has any text.
    pub(crate) fn is_empty(&self) -> bool {
        self.texts().all(|text| text.plain().is_empty())
    }

    /// Removes all text.
    #[cfg(test)]
    pub(crate) fn clear(&mut self) {
        self.chunks.clear();
    }
}

impl<K: Ord + Clone, T> Chunks<K, T> {
    /// Updates the text to these entries, sorted by key, each key once. `render` appends the text of a key. It is
    /// called for new keys, and for keys whose data is another allocation than at the last update.
    pub(crate) fn update<'a>(
        &mut self,
        entries: impl IntoIterator<Item = (&'a K, &'a Arc<T>)>,
        render: impl FnMut(&K, &T, &mut Vec<u8>),
    ) where
        K: 'a,
        T: 'a,
    {
        let mut entries = entries.into_iter().peekable();
        let mut builder = Builder { render, done: Vec::with_capacity(self.chunks.len()), open: Open::default() };
        let mut old = mem::take(&mut self.chunks).into_iter().peekable();
        let mut span = Vec::new();
        // The first round of an empty cache is one without an old chunk.
        while entries.peek().is_some() || old.peek().is_some() {
            let chunk = old.next();
            let next = old.peek().and_then(|next| next.entries.first()).map(|entry| &entry.key);
            span.clear();
            let known = chunk.as_ref().map_or(&[][..], |chunk| &chunk.entries);
            span.extend(known.iter().map_while(|known| entries.next_if(|(key, data)| known.is(key, data))));
            let same = span.len();
            span.extend(std::iter::from_fn(|| entries.next_if(|(key, _)| next.is_none_or(|next| *key < next))));
            match chunk {
                Some(chunk) if (same, span.len()) == (chunk.entries.len(), chunk.entries.len()) => builder.keep(chunk),
                chunk => builder.rebuild(chunk, &span),
            }
        }
        self.chunks = builder.done;
    }
}

/// Builds the new sequence of chunks.
struct Builder<K, T, R> {
    render: R,
    done: Vec<Chunk<K, T>>,
    open: Open<K, T>,
}

/// A chunk under construction.
struct Open<K, T> {
    entries: Vec<KeyText<K, T>>,
    text: Vec<u8>,
}

impl<K, T> Default for Open<K, T> {
    fn default() -> Self {
        Self { entries: Vec::new(), text: Vec::new() }
    }
}

impl<K: Ord + Clone, T, R: FnMut(&K, &T, &mut Vec<u8>)> Builder<K, T, R> {
    /// Takes over an unchanged chunk.
    fn keep(&mut self, chunk: Chunk<K, T>) {
        push(&mut self.done, chunk);
    }

    /// Writes these entries, and reuses unchanged text of the chunk that they were in.
    fn rebuild(&mut self, was: Option<Chunk<K, T>>, entries: &[(&K, &Arc<T>)]) {
        let (was, text) = was.map_or((Vec::new(), None), |chunk| (chunk.entries, Some(chunk.text)));
        let mut was = Slices { entries: was.into_iter().peekable(), start: 0 };
        for &(key, data) in entries {
            let known = was.take(key).filter(|(entry, _)| entry.is(key, data));
            let open = &mut self.open;
            let mut entry = if let (Some((entry, range)), Some(text)) = (known, &text) {
                open.text.extend_from_slice(&text.plain()[range]);
                entry
            } else {
                (self.render)(key, data, &mut open.text);
                KeyText { key: key.clone(), data: Arc::downgrade(data), end: 0 }
            };
            entry.end = open.text.len();
            open.entries.push(entry);
            if open.text.len() > MAX && open.entries.len() > 1 {
                let half = open.take_half();
                push(&mut self.done, half);
            }
        }
        if let Some(chunk) = self.open.take(text) {
            push(&mut self.done, chunk);
        }
    }
}

/// Entries of an old chunk, in order, with the position of their text.
struct Slices<K, T> {
    entries: Peekable<vec::IntoIter<KeyText<K, T>>>,
    start: usize,
}

impl<K: Ord, T> Slices<K, T> {
    /// Returns the entry of a key. Keys must be in order.
    fn take(&mut self, key: &K) -> Option<(KeyText<K, T>, std::ops::Range<usize>)> {
        while let Some(entry) = self.entries.next_if(|entry| entry.key <= *key) {
            let range = self.start..entry.end;
            self.start = entry.end;
            if entry.key == *key {
                return Some((entry, range));
            }
        }
        None
    }
}

impl<K, T> Open<K, T> {
    /// Returns the first half of the text, in whole entries: at least one, and not all.
    fn take_half(&mut self) -> Chunk<K, T> {
        let half = self.text.len() / 2;
        let count = self.entries.partition_point(|entry| entry.end < half) + 1;
        let rest = self.entries.split_off(count.min(self.entries.len() - 1));
        let entries = mem::replace(&mut self.entries, rest);
        let end = entries.last().map_or(0, |entry| entry.end);
        let text = Bytes::copy_from_slice(&self.text[..end]);
        self.text.drain(..end);
        self.entries.iter_mut().for_each(|entry| entry.end -= end);
        Chunk { entries, text: Arc::new(text.into()) }
    }

    /// Returns the whole text if it has an entry. Keeps the old text if it is equal.
    fn take(&mut self, was: Option<Arc<Text>>) -> Option<Chunk<K, T>> {
        let entries = mem::take(&mut self.entries);
        let same = was.filter(|was| was.plain() == self.text.as_slice());
        let text = same.unwrap_or_else(|| Arc::new(Bytes::copy_from_slice(&self.text).into()));
        self.text.clear();
        (!entries.is_empty()).then_some(Chunk { entries, text })
    }
}

/// Appends a chunk, or merges it with the last one if one of them is small.
fn push<K, T>(chunks: &mut Vec<Chunk<K, T>>, mut chunk: Chunk<K, T>) {
    let size = chunk.text.plain().len();
    let fits = |last: &mut Chunk<K, T>| {
        let last = last.text.plain().len();
        size.min(last) < MIN && size + last <= MAX
    };
    let Some(last) = chunks.pop_if(fits) else { return chunks.push(chunk) };
    let start = last.text.plain().len();
    chunk.entries.iter_mut().for_each(|entry| entry.end += start);
    let mut entries = last.entries;
    entries.append(&mut chunk.entries);
    let text = match (start, size) {
        (_, 0) => last.text,
        (0, _) => chunk.text,
        _ => Arc::new(Bytes::from([&last.text.plain()[..], chunk.text.plain()].concat()).into()),
    };
    chunks.push(Chunk { entries, text });
}

#[cfg(test)]
mod tests;
