//! Keeps the text of a family's series and renders only what changed.
//!
//! The series are those of keys (workloads), sorted, each with data behind an [`Arc`]. Neighbours share a chunk of
//! text, which is compressed as a whole. [`Chunks::update`] renders the keys that are new or have other data, copies
//! the others' text within chunks that changed, and leaves all other chunks, compressed or not, as they are.
//!
//! Chunks are cut as the leaves of a B-tree: a change concerns the chunk that it falls into. One that grows beyond
//! [`MAX`] is halved; two neighbours, one of them below [`MIN`], become one where they fit. So a key that comes, goes
//! or changes touches its own chunk and at most the two beside it, whatever the keys are called: no name can make a
//! chunk endless, or move the borders of others. (Borders by a hash of the keys would need none of the history, but a
//! bound on both sizes moves borders downstream, and whoever chooses names chooses hashes.)

use std::{
    iter::Peekable,
    mem,
    sync::{Arc, Weak},
    vec,
};

use axum::body::Bytes;

use super::gzip::Text;

/// The largest chunk of several keys, in bytes of text; chunks are made half as large.
const MAX: usize = 64 << 10;

/// Chunks smaller than this join a neighbour.
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
    entries: Vec<Entry<K, T>>,
    text: Arc<Text>,
}

/// One key's part of a chunk.
#[derive(Debug)]
struct Entry<K, T> {
    key: K,
    /// Keeps the address from being used again, and [`Arc::make_mut`] from changing the data in place; not
    /// the data alive.
    data: Weak<T>,
    /// Where its text ends in the chunk.
    end: usize,
}

impl<K: PartialEq, T> Entry<K, T> {
    fn is(&self, key: &K, data: &Arc<T>) -> bool {
        std::ptr::eq(self.data.as_ptr(), Arc::as_ptr(data)) && self.key == *key
    }
}

impl<K, T> Chunks<K, T> {
    /// The texts of the chunks, in order.
    pub(crate) fn texts(&self) -> impl Iterator<Item = &Arc<Text>> {
        self.chunks.iter().map(|chunk| &chunk.text)
    }

    /// Whether no key has any text.
    pub(crate) fn is_empty(&self) -> bool {
        self.texts().all(|text| text.plain().is_empty())
    }

    /// Forgets all text.
    #[cfg(test)]
    pub(crate) fn clear(&mut self) {
        self.chunks.clear();
    }
}

impl<K: Ord + Clone, T> Chunks<K, T> {
    /// Brings the text up to date with these entries, sorted by key, each key once. `render` appends the text of a key;
    /// it is called for keys that are new and those whose data is another allocation than at the last update.
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

/// Makes the new sequence of chunks.
struct Builder<K, T, R> {
    render: R,
    done: Vec<Chunk<K, T>>,
    open: Open<K, T>,
}

/// A chunk that is being written.
struct Open<K, T> {
    entries: Vec<Entry<K, T>>,
    text: Vec<u8>,
}

impl<K, T> Default for Open<K, T> {
    fn default() -> Self {
        Self { entries: Vec::new(), text: Vec::new() }
    }
}

impl<K: Ord + Clone, T, R: FnMut(&K, &T, &mut Vec<u8>)> Builder<K, T, R> {
    /// Takes over a chunk that is as it was.
    fn keep(&mut self, chunk: Chunk<K, T>) {
        push(&mut self.done, chunk);
    }

    /// Writes these entries, with what is still true of the chunk that they were in.
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
                Entry { key: key.clone(), data: Arc::downgrade(data), end: 0 }
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

/// The entries of an old chunk, one after the other, with where their text is.
struct Slices<K, T> {
    entries: Peekable<vec::IntoIter<Entry<K, T>>>,
    start: usize,
}

impl<K: Ord, T> Slices<K, T> {
    /// The entry of a key. Asked for in order.
    fn take(&mut self, key: &K) -> Option<(Entry<K, T>, std::ops::Range<usize>)> {
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
    /// The first half of what was written: whole entries, neither none nor all of them.
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

    /// All that was written, if there is an entry. Keeps the text that was there before, if it is the same.
    fn take(&mut self, was: Option<Arc<Text>>) -> Option<Chunk<K, T>> {
        let entries = mem::take(&mut self.entries);
        let same = was.filter(|was| was.plain() == self.text.as_slice());
        let text = same.unwrap_or_else(|| Arc::new(Bytes::copy_from_slice(&self.text).into()));
        self.text.clear();
        (!entries.is_empty()).then_some(Chunk { entries, text })
    }
}

/// Appends a chunk, or joins it with the last one where one of them is small.
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
