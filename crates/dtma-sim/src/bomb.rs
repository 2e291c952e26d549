//! A gzip body that is small on the wire and large when unpacked, made without unpacking it anywhere.

use bytes::Bytes;
use flate2::{Compress, Compression, Crc, FlushCompress};

const MIB: usize = 1024 * 1024;

/// Header of a gzip member without name, time or flags.
const HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];

const HEAD: &[u8] = b"{\"padding\":\"";
const TAIL: &[u8] = b"\"}";

/// The pieces of one gzip member that unpacks to a JSON object of a little over `mib` MiB; each MiB costs about one
/// KiB on the wire.
///
/// A fully flushed deflate block ends on a byte and refers to nothing before it, so one compressed MiB can be sent as
/// often as wanted, and the checksum of the whole follows from that of its parts.
pub(crate) fn gzip(mib: u32) -> impl Iterator<Item = Bytes> + Send {
    let filler = vec![b'x'; MIB];
    let mut whole = crc_of(HEAD);
    let one = crc_of(&filler);
    (0..mib).for_each(|_| whole.combine(&one));
    whole.combine(&crc_of(TAIL));
    let packed = block(&filler, FlushCompress::Full);
    let trailer = [whole.sum().to_le_bytes(), whole.amount().to_le_bytes()].concat();
    let begin = [Bytes::copy_from_slice(&HEADER), block(HEAD, FlushCompress::Full)];
    let end = [block(TAIL, FlushCompress::Finish), Bytes::from(trailer)];
    begin
        .into_iter()
        .chain((0..mib).map(move |_| packed.clone()))
        .chain(end)
}

fn crc_of(bytes: &[u8]) -> Crc {
    let mut crc = Crc::new();
    crc.update(bytes);
    crc
}

/// One piece of raw deflate.
fn block(bytes: &[u8], flush: FlushCompress) -> Bytes {
    let mut out = Vec::with_capacity(bytes.len() / 500 + 256);
    Compress::new(Compression::best(), false)
        .compress_vec(bytes, &mut out, flush)
        .expect("deflating to memory fails only on misuse of the state");
    Bytes::from(out)
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use flate2::read::GzDecoder;

    use super::*;

    #[test]
    fn it_unpacks_to_the_promised_json_with_a_right_checksum() {
        for mib in [1_u32, 5] {
            let packed: Vec<u8> = gzip(mib).flat_map(|piece| piece.to_vec()).collect();
            assert!(packed.len() < 4_096 * mib as usize, "{} bytes", packed.len());
            let mut text = Vec::new();
            GzDecoder::new(packed.as_slice()).read_to_end(&mut text).unwrap();
            assert_eq!(text.len(), HEAD.len() + mib as usize * MIB + TAIL.len());
            let parsed: serde_json::Value = serde_json::from_slice(&text).unwrap();
            assert_eq!(parsed["padding"].as_str().unwrap().len(), mib as usize * MIB);
        }
    }
}
