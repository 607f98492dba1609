//! Where TLS records end in a stream of bytes (RFC 8446 section 5.1): behind the last one a connection is in clear text again.

/// A position in a stream of records.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Records {
    /// Bytes of the header that have passed, and its length field so far.
    header: usize,
    length: usize,
    /// Bytes of the record that are still to come, behind its header.
    left: usize,
}

/// A record begins with its type, a version, and the length of what follows.
const HEADER: usize = 5;

impl Records {
    /// How many of these bytes belong to the record that is under way; at least one, if there are any.
    pub(crate) fn next(&mut self, bytes: &[u8]) -> usize {
        let mut used = 0;
        while self.header < HEADER {
            let Some(byte) = bytes.get(used) else { return used };
            if self.header >= HEADER - 2 {
                self.length = (self.length << 8) | usize::from(*byte);
            }
            self.header += 1;
            used += 1;
            if self.header == HEADER {
                self.left = self.length;
            }
        }
        let body = self.left.min(bytes.len() - used);
        self.left -= body;
        if self.left == 0 {
            *self = Self::default();
        }
        used + body
    }

    /// Bytes that surely belong to the record under way: the rest of its header, or of it all; 0 between records.
    pub(crate) fn missing(&self) -> usize {
        if self.header == 0 {
            0
        } else if self.header < HEADER {
            HEADER - self.header
        } else {
            self.left
        }
    }

    /// Passes over bytes of which all belong to records.
    pub(crate) fn pass(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let used = self.next(bytes);
            bytes = bytes.get(used..).unwrap_or_default();
        }
    }

    /// The bytes of a header.
    pub(crate) const HEADER: usize = HEADER;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_end_where_their_lengths_say_however_they_are_cut() {
        let stream = [&[23, 3, 3, 0, 2, 9, 9][..], &[21, 3, 3, 0, 0], &[22, 3, 3, 1, 0], &[7; 256]].concat();
        let ends = [7, 12, 273];
        for piece in 1..stream.len() {
            let (mut records, mut at, mut found) = (Records::default(), 0, Vec::new());
            for mut bytes in stream.chunks(piece) {
                while !bytes.is_empty() {
                    let used = records.next(bytes);
                    assert!(used > 0);
                    at += used;
                    bytes = &bytes[used..];
                    if records == Records::default() {
                        found.push(at);
                    }
                }
            }
            assert_eq!(found, ends, "pieces of {piece}");
        }
        let mut records = Records::default();
        records.pass(&stream[..3]);
        assert_eq!(records.missing(), 2);
        records.pass(&stream[3..6]);
        assert_eq!(records.missing(), 1);
    }
}
