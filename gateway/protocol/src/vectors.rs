//! The test vectors of `vectors/`, run against this implementation.

use std::borrow::Cow;

use serde_json::Value as Json;

use crate::message::{Batch, Call, ErrorBody, GoAway, Hello, Welcome};
use crate::{
    Codec, FrameError, FrameHeader, FrameKind, HEADER_BYTES, HelloMac, PayloadError, Value,
    begin_frame, decode_header, finish_frame,
};

/// The limit that `bad_frames.json` assumes.
const FRAME_BYTES_MAX: u32 = 1 << 20;

fn cases(file: &str) -> Vec<Json> {
    let Json::Array(cases) = serde_json::from_str(file).unwrap() else { panic!("not a list") };
    assert!(!cases.is_empty());
    cases
}

fn bytes(hex: &Json) -> Vec<u8> {
    let digit = |byte: u8| u8::try_from(char::from(byte).to_digit(16).unwrap()).unwrap();
    hex.as_str()
        .unwrap()
        .as_bytes()
        .chunks(2)
        .map(|pair| digit(pair[0]) << 4 | digit(pair[1]))
        .collect()
}

fn number(json: &Json) -> u64 {
    json.as_u64().unwrap()
}

/// The value that a vector file means; see `vectors/README.md`, "Values".
fn meant(json: &Json) -> Value<'static> {
    let text = |text: &str| Value::Str(Cow::Owned(text.to_owned()));
    let whole = |number: i128| {
        i64::try_from(number)
            .map_or_else(|_| Value::UInt(u64::try_from(number).unwrap()), Value::Int)
    };
    match json {
        Json::Null => Value::Null,
        Json::Bool(value) => Value::Bool(*value),
        Json::Number(value) => whole(value.to_string().parse().unwrap()),
        Json::String(value) => text(value),
        Json::Array(items) => Value::Array(items.iter().map(meant).collect()),
        Json::Object(entries) => match (entries.len(), entries.iter().next()) {
            (1, Some((name, hex))) if name == "$bytes" => Value::Bytes(bytes(hex).into()),
            (1, Some((name, Json::String(digits)))) if name == "$int" => {
                whole(digits.parse().unwrap())
            }
            (1, Some((name, Json::String(digits)))) if name == "$float" => {
                Value::Float(digits.parse().unwrap())
            }
            _ => Value::Map(
                entries.iter().map(|(name, value)| (name.clone().into(), meant(value))).collect(),
            ),
        },
    }
}

/// Reads a payload the way its kind is read, all of it.
fn read(header: &FrameHeader, payload: &mut [u8]) -> Result<(), PayloadError> {
    let codec = header.codec;
    let whole = |mut call: Call<'_>| call.params.try_for_each(|entry| entry.map(drop));
    match header.kind {
        FrameKind::Hello => Hello::decode(codec, payload).map(drop),
        FrameKind::Welcome => Welcome::decode(codec, payload).map(drop),
        FrameKind::Call => whole(Call::decode(codec, payload)?),
        FrameKind::Batch => Batch::decode(codec, payload, 1000)?.try_for_each(|call| whole(call?)),
        FrameKind::Reply if header.code() != 0 => {
            let body = ErrorBody::decode(codec, payload)?;
            assert_eq!(body.code, header.code());
            Ok(())
        }
        FrameKind::GoAway => GoAway::decode(codec, payload).map(drop),
        FrameKind::Ping | FrameKind::Pong => Ok(()),
        FrameKind::Reply | FrameKind::Subscribe | FrameKind::Unsubscribe | FrameKind::Event => {
            codec.decode(payload).map(drop)
        }
    }
}

#[test]
fn good_frames_mean_what_the_vectors_say_and_are_written_the_same() {
    let mut kinds = Vec::new();
    for case in cases(include_str!("../vectors/good.json")) {
        let name = case["name"].as_str().unwrap();
        let frame = bytes(&case["frame"]);
        let header = decode_header(&frame, FRAME_BYTES_MAX).unwrap().unwrap();
        let told = &case["header"];
        let kind = format!("{:?}", header.kind).to_uppercase();
        let codec = format!("{:?}", header.codec).to_lowercase();
        assert_eq!(
            (kind.as_str(), codec.as_str()),
            (told["kind"].as_str().unwrap(), told["codec"].as_str().unwrap()),
            "{name}"
        );
        assert_eq!(u64::from(header.length), number(&told["length"]), "{name}");
        assert_eq!(u64::from(header.flags), number(&told["flags"]), "{name}");
        assert_eq!(u64::from(header.request_id.0), number(&told["request_id"]), "{name}");
        assert_eq!(
            u64::from(header.deadline_ms_or_code),
            number(&told["deadline_ms_or_code"]),
            "{name}"
        );
        assert_eq!(header.frame_bytes(), frame.len(), "{name}");
        kinds.push(header.kind);

        let payload = &frame[HEADER_BYTES..];
        assert_eq!(read(&header, &mut payload.to_vec()), Ok(()), "{name}");
        let mut written = Vec::new();
        let start = begin_frame(&mut written, &header);
        if let Some(opaque) = case.get("opaque") {
            assert_eq!(payload, bytes(opaque), "{name}");
            written.extend_from_slice(payload);
        } else {
            let value = meant(&case["payload"]);
            assert_eq!(header.codec.decode(&mut payload.to_vec()), Ok(value.clone()), "{name}");
            header.codec.encode(&value, &mut written);
        }
        finish_frame(&mut written, start).unwrap();
        assert_eq!(written, frame, "{name}");
    }
    assert!(FrameKind::ALL.iter().all(|kind| kinds.contains(kind)), "a kind has no vector");
}

#[test]
fn good_frames_cut_or_flipped_anywhere_are_a_message_or_an_error() {
    for case in cases(include_str!("../vectors/good.json")) {
        let frame = bytes(&case["frame"]);
        for length in 0..HEADER_BYTES {
            assert_eq!(decode_header(&frame[..length], FRAME_BYTES_MAX), Ok(None));
        }
        let header = decode_header(&frame, FRAME_BYTES_MAX).unwrap().unwrap();
        let opaque = case.get("opaque").is_some();
        for length in HEADER_BYTES..frame.len() {
            let cut = read(&header, &mut frame[HEADER_BYTES..length].to_vec());
            assert!(cut.is_err() || opaque, "{} cut at {length}", case["name"]);
        }
        for bit in 0..frame.len() * 8 {
            let mut flipped = frame.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            match decode_header(&flipped, FRAME_BYTES_MAX) {
                Ok(Some(header)) if header.code() == 0 || header.kind != FrameKind::Reply => {
                    let (_, payload) = flipped.split_at_mut(HEADER_BYTES);
                    let error = read(&header, payload).err();
                    assert!(
                        error.is_none_or(|error| (1100..1200).contains(&error.code().number()))
                    );
                }
                Ok(_) => {}
                Err(error) => assert!((1100..1200).contains(&error.code().number())),
            }
        }
    }
}

#[test]
fn bad_frames_are_refused_as_the_vectors_say() {
    for case in cases(include_str!("../vectors/bad_frames.json")) {
        let name = case["name"].as_str().unwrap();
        let error: FrameError =
            decode_header(&bytes(&case["frame"]), FRAME_BYTES_MAX).expect_err(name);
        let told = &case["error"];
        assert_eq!(u64::from(error.code().number()), number(&told["code"]), "{name}");
        assert_eq!(error.skip().is_none(), told["closes"].as_bool().unwrap(), "{name}");
        let id = error.skip().map_or(0, |skip| skip.request_id.0);
        assert_eq!(u64::from(id), number(&told["request_id"]), "{name}");
        if let Some(skip) = error.skip() {
            assert_eq!(skip.frame_bytes, bytes(&case["frame"]).len(), "{name}");
        }
    }
}

#[test]
fn bad_payloads_are_refused_as_the_vectors_say() {
    for case in cases(include_str!("../vectors/bad_payloads.json")) {
        let name = case["name"].as_str().unwrap();
        let mut frame = bytes(&case["frame"]);
        let header = decode_header(&frame, FRAME_BYTES_MAX).unwrap().unwrap();
        assert_eq!(header.frame_bytes(), frame.len(), "{name}: the frame itself is sound");
        assert_eq!(u64::from(header.request_id.0), number(&case["error"]["request_id"]), "{name}");
        let error = read(&header, &mut frame[HEADER_BYTES..]).expect_err(name);
        assert_eq!(u64::from(error.code().number()), number(&case["error"]["code"]), "{name}");
    }
}

#[test]
fn codes_of_hello_are_those_of_the_vectors() {
    for case in cases(include_str!("../vectors/mac.json")) {
        let (nonce, key) = (bytes(&case["nonce"]), bytes(&case["key"]));
        let hello = HelloMac {
            key_id: case["key_id"].as_str().unwrap(),
            time: number(&case["time"]),
            nonce: &nonce,
            game: case["game"].as_str().unwrap(),
            client: case["client"].as_str().unwrap(),
        };
        assert_eq!(hello.sign(&key).to_vec(), bytes(&case["mac"]), "{}", case["name"]);
    }
}

/// The code inside a HELLO is the one over the HELLO's own members.
#[test]
fn hello_of_the_vectors_carries_a_code_that_verifies() {
    let key: Vec<u8> = (0..32).collect();
    let mut count = 0;
    for case in cases(include_str!("../vectors/good.json")) {
        let mut frame = bytes(&case["frame"]);
        let header = decode_header(&frame, FRAME_BYTES_MAX).unwrap().unwrap();
        if header.kind != FrameKind::Hello {
            continue;
        }
        let hello = Hello::decode(header.codec, &mut frame[HEADER_BYTES..]).unwrap();
        if let crate::message::Auth::Mac { key_id, time, nonce, mac } = &hello.auth {
            let game = hello.game.as_deref().unwrap_or_default();
            let signed = HelloMac { key_id, time: *time, nonce, game, client: &hello.client };
            assert!(signed.verify(&key, mac));
            count += 1;
        }
    }
    assert_eq!(count, Codec::ALL.len());
}
