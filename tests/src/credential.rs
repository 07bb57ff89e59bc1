//! Credentials of the tests: the keys that the gateway is configured with, and what is signed with them.

use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, Mac as _};
use jsonwebtoken::{EncodingKey, Header};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

/// Secret of the HS256 key.
const SHARED_SECRET: &str = "an-hs256-secret-of-the-tests-of-48-bytes-or-more";

/// Secret of the game servers' key.
pub const GAME_SERVER_SECRET: &str = "a-game-server-secret-of-the-tests-48-bytes-long!";

/// An API key with the role `admin` for every game.
pub const ADMIN_KEY: &str = "tests-admin.AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

/// `auth.api_keys[].hash` of a key: SHA-256 over salt and secret.
pub fn api_key_hash(key: &str) -> String {
    let (_, secret) = key.split_once('.').expect("an API key has a dot");
    let salt = [7_u8; 16];
    let digest = Sha256::new().chain_update(salt).chain_update(secret).finalize();
    format!("sha256:{}:{}", hex(&salt), hex(&digest))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}

/// Seconds since 1970 now.
fn now() -> i64 {
    let elapsed = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    elapsed.as_secs().try_into().expect("fits")
}

/// The algorithms that the gateway takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// Shared secret.
    Hs256,
    /// RSA.
    Rs256,
    /// P-256.
    Es256,
    /// Ed25519.
    EdDsa,
}

impl Algorithm {
    /// Every algorithm.
    pub const ALL: [Self; 4] = [Self::Hs256, Self::Rs256, Self::Es256, Self::EdDsa];

    /// The `kid` of the key that the gateway is configured with.
    const fn key_id(self) -> &'static str {
        match self {
            Self::Hs256 => "hs",
            Self::Rs256 => "rs",
            Self::Es256 => "es",
            Self::EdDsa => "ed",
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Hs256 => "HS256",
            Self::Rs256 => "RS256",
            Self::Es256 => "ES256",
            Self::EdDsa => "EdDSA",
        }
    }

    fn encoding_key(self) -> EncodingKey {
        match self {
            Self::Hs256 => EncodingKey::from_secret(SHARED_SECRET.as_bytes()),
            Self::Rs256 => {
                EncodingKey::from_rsa_pem(include_bytes!("../keys/rs256.private.pem")).expect("PEM")
            }
            Self::Es256 => {
                EncodingKey::from_ec_pem(include_bytes!("../keys/es256.private.pem")).expect("PEM")
            }
            Self::EdDsa => EncodingKey::from_ed_pem(include_bytes!("../keys/ed25519.private.pem"))
                .expect("PEM"),
        }
    }

    /// `auth.jwt.keys[]` of this algorithm.
    pub fn configured(self) -> Value {
        let public = match self {
            Self::Hs256 => {
                return json!({ "kid": "hs", "alg": "HS256", "secret": SHARED_SECRET });
            }
            Self::Rs256 => include_str!("../keys/rs256.public.pem"),
            Self::Es256 => include_str!("../keys/es256.public.pem"),
            Self::EdDsa => include_str!("../keys/ed25519.public.pem"),
        };
        json!({ "kid": self.key_id(), "alg": self.name(), "public_key": public })
    }
}

/// A token, to be changed before it is signed.
#[derive(Clone, Debug)]
pub struct Token {
    /// The header's `kid`; `None` leaves it out.
    pub key_id: Option<String>,
    /// The claims.
    pub claims: Value,
    algorithm: Algorithm,
}

impl Token {
    /// A good token of a subject, with roles, for game1 and game2, for an hour.
    pub fn new(subject: &str, roles: &[&str]) -> Self {
        let claims = json!({
            "sub": subject, "roles": roles, "games": ["game1", "game2"],
            "iss": "tests", "aud": "gateway", "exp": now() + 3600, "nbf": now() - 1,
        });
        let algorithm = Algorithm::Hs256;
        Self { key_id: Some(algorithm.key_id().to_owned()), claims, algorithm }
    }

    /// Signed with another algorithm's key.
    #[must_use]
    pub fn signed_with(mut self, algorithm: Algorithm) -> Self {
        self.algorithm = algorithm;
        self.key_id = Some(algorithm.key_id().to_owned());
        self
    }

    /// With another claim; null takes it out.
    #[must_use]
    pub fn claim(mut self, name: &str, value: Value) -> Self {
        let claims = self.claims.as_object_mut().expect("a map");
        if value.is_null() {
            claims.remove(name);
        } else {
            claims.insert(name.to_owned(), value);
        }
        self
    }

    /// With `exp` so many seconds from now.
    #[must_use]
    pub fn expires_in(self, seconds: i64) -> Self {
        self.claim("exp", json!(now() + seconds))
    }

    /// With `nbf` so many seconds from now.
    #[must_use]
    pub fn valid_in(self, seconds: i64) -> Self {
        self.claim("nbf", json!(now() + seconds))
    }

    /// The token as text.
    pub fn sign(&self) -> String {
        let name = match self.algorithm {
            Algorithm::Hs256 => jsonwebtoken::Algorithm::HS256,
            Algorithm::Rs256 => jsonwebtoken::Algorithm::RS256,
            Algorithm::Es256 => jsonwebtoken::Algorithm::ES256,
            Algorithm::EdDsa => jsonwebtoken::Algorithm::EdDSA,
        };
        let mut header = Header::new(name);
        header.kid.clone_from(&self.key_id);
        jsonwebtoken::encode(&header, &self.claims, &self.algorithm.encoding_key()).expect("signed")
    }

    /// The token with `alg: none` and no signature.
    pub fn unsigned(&self) -> String {
        let header = json!({ "alg": "none", "typ": "JWT", "kid": self.key_id });
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        format!("{}.{}.", part(&header), part(&self.claims))
    }

    /// The token signed by HS256 with a secret that is another key's public half.
    pub fn confused(&self) -> String {
        let public = include_bytes!("../keys/rs256.public.pem");
        let mut header = Header::new(jsonwebtoken::Algorithm::HS256);
        header.kid = Some(Algorithm::Rs256.key_id().to_owned());
        jsonwebtoken::encode(&header, &self.claims, &EncodingKey::from_secret(public))
            .expect("signed")
    }
}

/// How a caller shows who it is; the same on every transport as far as the transport has it.
#[derive(Clone, Debug)]
pub enum Credential {
    /// Nothing.
    None,
    /// `Authorization: Bearer`, or HELLO with `jwt`.
    Bearer(String),
    /// `X-API-Key`, or HELLO with `api_key`.
    ApiKey(String),
}

impl Credential {
    /// A player's token.
    pub fn player(player_id: i64) -> Self {
        Self::Bearer(Token::new(&player_id.to_string(), &["player"]).sign())
    }

    /// The token of somebody with these roles.
    pub fn with_roles(roles: &[&str]) -> Self {
        Self::Bearer(Token::new("staff-1", roles).sign())
    }

    /// HTTP headers that carry it, each ended by CRLF.
    pub fn headers(&self) -> String {
        match self {
            Self::None => String::new(),
            Self::Bearer(token) => format!("Authorization: Bearer {token}\r\n"),
            Self::ApiKey(key) => format!("X-API-Key: {key}\r\n"),
        }
    }

    /// The `auth` of a HELLO that carries it.
    pub fn hello_auth(&self) -> Value {
        match self {
            Self::None => json!({}),
            Self::Bearer(token) => json!({ "jwt": token }),
            Self::ApiKey(key) => json!({ "api_key": key }),
        }
    }
}

/// The HELLO of a game server, to be changed before it is signed.
#[derive(Clone, Debug)]
pub struct GameServer {
    /// Which shared key.
    pub key_id: String,
    /// The shared key.
    pub secret: String,
    /// Seconds since 1970.
    pub time: i64,
    /// 16 bytes.
    pub nonce: Vec<u8>,
    /// The game that HELLO names.
    pub game: String,
    /// The client that HELLO names.
    pub client: String,
}

impl GameServer {
    /// A good one for a game. The nonce differs from any other of this machine.
    pub fn new(game: &str) -> Self {
        use std::sync::atomic::{AtomicU64, Ordering};
        static NONCE: AtomicU64 = AtomicU64::new(0);
        let started = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
        let seed = format!(
            "{} {} {}",
            std::process::id(),
            started.as_nanos(),
            NONCE.fetch_add(1, Ordering::Relaxed)
        );
        Self {
            key_id: "gs1".to_owned(),
            secret: GAME_SERVER_SECRET.to_owned(),
            time: now(),
            nonce: Sha256::digest(seed)[..16].to_vec(),
            game: game.to_owned(),
            client: "tests".to_owned(),
        }
    }

    /// The code over its fields, as `protocol.md` says under HELLO.
    pub fn mac(&self) -> Vec<u8> {
        let mut hmac =
            Hmac::<Sha256>::new_from_slice(self.secret.as_bytes()).expect("any length of key");
        let time = self.time.to_string();
        let parts = [
            self.key_id.as_bytes(),
            time.as_bytes(),
            &self.nonce,
            self.game.as_bytes(),
            self.client.as_bytes(),
        ];
        for part in parts {
            hmac.update(&u32::try_from(part.len()).expect("short").to_be_bytes());
            hmac.update(part);
        }
        hmac.finalize().into_bytes().to_vec()
    }
}
