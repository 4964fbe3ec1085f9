//! Seals RTP and RTCP for a viewer (RFC 3711, RFC 7714).
//!
//! The payload of a packet goes to all viewers of a source; it is read from one shared buffer and written sealed into
//! the buffer that goes to the kernel, with no copy between.
//!
//! A nonce must never serve two different packets. RTP: the sequence number with its rollover counter, which
//! [`appliance_core::forward::Rewriter`] gives once. RTCP: a counter here; str0m, which holds the same keys, sends no
//! RTCP under the SSRCs that are ours, and the SSRC is part of the nonce.

use aws_lc_rs::{
    aead::{AES_128_GCM, AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey},
    cipher::{AES_128, AES_256, Algorithm, EncryptingKey, EncryptionContext, UnboundCipherKey},
    error::Unspecified,
    hmac,
    iv::FixedLength,
};
use str0m::crypto::dtls::SrtpProfile;

use super::keys::Keys;

const GCM_TAG: usize = 16;
const SHA1_TAG: usize = 10;
const RTCP_INDEX: usize = 4;
/// The most that sealing adds to an RTCP packet.
pub(super) const RTCP_OVERHEAD: usize = GCM_TAG + RTCP_INDEX;

enum Direction {
    Gcm { key: LessSafeKey, salt: [u8; 12] },
    Ctr { key: Box<EncryptingKey>, mac: Box<hmac::Key>, salt: [u8; 14] },
}

/// The sealing half of a viewer's SRTP.
pub(super) struct Sealer {
    rtp: Direction,
    rtcp: Direction,
    rtcp_index: u32,
}

impl Sealer {
    /// Derives the session keys.
    pub(super) fn new(keys: &Keys) -> Result<Self, Unspecified> {
        let (key_len, salt_len, algorithm) = match keys.profile {
            SrtpProfile::AES128_CM_SHA1_80 => (16, 14, &AES_128),
            SrtpProfile::AEAD_AES_128_GCM => (16, 12, &AES_128),
            SrtpProfile::AEAD_AES_256_GCM => (32, 12, &AES_256),
            _ => return Err(Unspecified),
        };
        let side = usize::from(!keys.active);
        let part = |at: usize, len: usize| keys.material.get(at..at + len).ok_or(Unspecified);
        let master = part(side * key_len, key_len)?;
        let salt = part(2 * key_len + side * salt_len, salt_len)?;
        let direction = |first_label: u8| -> Result<Direction, Unspecified> {
            let mut key = [0; 32];
            derive(algorithm, master, salt, first_label, &mut key[..key_len])?;
            let mut session_salt = [0; 14];
            derive(algorithm, master, salt, first_label + 2, &mut session_salt[..salt_len])?;
            if keys.profile == SrtpProfile::AES128_CM_SHA1_80 {
                let mut mac = [0; 20];
                derive(algorithm, master, salt, first_label + 1, &mut mac)?;
                let mac = Box::new(hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, &mac));
                let key = Box::new(EncryptingKey::ctr(UnboundCipherKey::new(algorithm, &key[..key_len])?)?);
                return Ok(Direction::Ctr { key, mac, salt: session_salt });
            }
            let aead = if key_len == 32 { &AES_256_GCM } else { &AES_128_GCM };
            let key = LessSafeKey::new(UnboundKey::new(aead, &key[..key_len])?);
            let mut salt = [0; 12];
            salt.copy_from_slice(&session_salt[..12]);
            Ok(Direction::Gcm { key, salt })
        };
        Ok(Self { rtp: direction(0)?, rtcp: direction(3)?, rtcp_index: 0 })
    }

    /// What sealing adds to an RTP packet, in bytes.
    pub(super) fn rtp_overhead(&self) -> usize {
        match self.rtp {
            Direction::Gcm { .. } => GCM_TAG,
            Direction::Ctr { .. } => SHA1_TAG,
        }
    }

    /// Seals `payload` behind the RTP header that fills the first `header` bytes of `out`; `out` must have room for exactly
    /// header, payload and overhead. `sequence` is the extended sequence number.
    pub(super) fn rtp(
        &self,
        out: &mut [u8],
        header: usize,
        payload: &[u8],
        ssrc: u32,
        sequence: u64,
    ) -> Result<(), Unspecified> {
        let (head, body) = out.split_at_mut(header);
        match &self.rtp {
            Direction::Gcm { key, salt } => {
                let mut nonce = *salt;
                xor(&mut nonce[2..6], &ssrc.to_be_bytes());
                xor(&mut nonce[6..12], &sequence.to_be_bytes()[2..]);
                let (body, tag) = body.split_at_mut(payload.len());
                let nonce = Nonce::assume_unique_for_key(nonce);
                key.seal_out_of_place_scatter(nonce, Aad::from(&*head), payload, body, &[], tag)
            }
            Direction::Ctr { key, mac, salt } => {
                let (cipher, tag) = body.split_at_mut(payload.len());
                cipher.copy_from_slice(payload);
                ctr(key, salt, ssrc, sequence, cipher)?;
                let mut context = hmac::Context::with_key(mac);
                context.update(head);
                context.update(cipher);
                context.update(&((sequence >> 16) as u32).to_be_bytes());
                tag.copy_from_slice(&context.sign().as_ref()[..SHA1_TAG]);
                Ok(())
            }
        }
    }

    /// Seals a compound RTCP packet; its sender's SSRC is in bytes 4 to 8.
    pub(super) fn rtcp(&mut self, packet: &[u8]) -> Result<Vec<u8>, Unspecified> {
        let (head, body) = packet.split_at_checked(8).ok_or(Unspecified)?;
        let ssrc = u32::from_be_bytes([head[4], head[5], head[6], head[7]]);
        let index = self.rtcp_index;
        self.rtcp_index = (index + 1) & 0x7fff_ffff;
        let trailer = (index | 0x8000_0000).to_be_bytes();
        let mut out = Vec::with_capacity(packet.len() + RTCP_OVERHEAD);
        out.extend_from_slice(packet);
        match &self.rtcp {
            Direction::Gcm { key, salt } => {
                let mut nonce = *salt;
                xor(&mut nonce[2..6], &ssrc.to_be_bytes());
                xor(&mut nonce[8..12], &index.to_be_bytes());
                let mut aad = [0; 12];
                aad[..8].copy_from_slice(head);
                aad[8..].copy_from_slice(&trailer);
                let nonce = Nonce::assume_unique_for_key(nonce);
                let tag = key.seal_in_place_separate_tag(nonce, Aad::from(aad), &mut out[8..8 + body.len()])?;
                out.extend_from_slice(tag.as_ref());
                out.extend_from_slice(&trailer);
            }
            Direction::Ctr { key, mac, salt } => {
                ctr(key, salt, ssrc, u64::from(index), &mut out[8..])?;
                out.extend_from_slice(&trailer);
                let tag = hmac::sign(mac, &out);
                out.extend_from_slice(&tag.as_ref()[..SHA1_TAG]);
            }
        }
        Ok(out)
    }
}

fn xor(target: &mut [u8], with: &[u8]) {
    for (byte, with) in target.iter_mut().zip(with) {
        *byte ^= with;
    }
}

/// AES-CM of RFC 3711 §4.1.1.
fn ctr(key: &EncryptingKey, salt: &[u8; 14], ssrc: u32, index: u64, data: &mut [u8]) -> Result<(), Unspecified> {
    let mut iv = [0; 16];
    iv[..14].copy_from_slice(salt);
    xor(&mut iv[4..8], &ssrc.to_be_bytes());
    xor(&mut iv[6..14], &index.to_be_bytes());
    key.less_safe_encrypt(data, EncryptionContext::Iv128(FixedLength::from(iv))).map(drop)
}

/// Key derivation of RFC 3711 §4.3.1 with rate 0; RFC 7714 §11 keeps it for GCM with the salt filled up with zeros.
fn derive(
    algorithm: &'static Algorithm,
    master: &[u8],
    salt: &[u8],
    label: u8,
    out: &mut [u8],
) -> Result<(), Unspecified> {
    let mut iv = [0; 16];
    iv[..salt.len()].copy_from_slice(salt);
    iv[7] ^= label;
    out.fill(0);
    let key = EncryptingKey::ctr(UnboundCipherKey::new(algorithm, master)?)?;
    key.less_safe_encrypt(out, EncryptionContext::Iv128(FixedLength::from(iv))).map(drop)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// RFC 3711 appendix B.3.
    #[test]
    fn derives_the_keys_of_the_rfc() {
        let master = [0xE1, 0xF9, 0x7A, 0x0D, 0x3E, 0x01, 0x8B, 0xE0, 0xD6, 0x4F, 0xA3, 0x2C, 0x06, 0xDE, 0x41, 0x39];
        let salt = [0x0E, 0xC6, 0x75, 0xAD, 0x49, 0x8A, 0xFE, 0xEB, 0xB6, 0x96, 0x0B, 0x3A, 0xAB, 0xE6];
        let mut key = [0; 16];
        derive(&AES_128, &master, &salt, 0, &mut key).unwrap();
        assert_eq!(
            key,
            [0xC6, 0x1E, 0x7A, 0x93, 0x74, 0x4F, 0x39, 0xEE, 0x10, 0x73, 0x4A, 0xFE, 0x3F, 0xF7, 0xA0, 0x87]
        );
        let mut derived_salt = [0; 14];
        derive(&AES_128, &master, &salt, 2, &mut derived_salt).unwrap();
        assert_eq!(derived_salt, [0x30, 0xCB, 0xBC, 0x08, 0x86, 0x3D, 0x8C, 0x85, 0xD4, 0x9D, 0xB3, 0x4A, 0x9A, 0xE1]);
    }
}
