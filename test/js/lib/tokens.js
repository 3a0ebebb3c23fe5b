// Tokens as the platform's packages make them: NextAuth session tokens and plain HS256.
import { hkdfSync } from "node:crypto";
import { EncryptJWT, SignJWT } from "jose";

export const secrets = {
  nextauth: "test-nextauth-secret-0123456789abcdef0123456789",
  jwt: "test-jwt-secret-0123456789abcdef0123456789abcdef",
  key: "test-internal-key-0123456789abcdef",
};

const now = () => Math.floor(Date.now() / 1000);

// signed is an HS256 token by JWT_SECRET. rooms are grants: {"conversation:1": ["join"]}.
export function signed(user, { rooms, name, expires = 3600, issued = 0, secret = secrets.jwt } = {}) {
  const claims = { sub: user, ...(name ? { name } : {}), ...(rooms ? { interlink: { rooms } } : {}) };
  return new SignJWT(claims)
    .setProtectedHeader({ alg: "HS256" })
    .setIssuedAt(now() + issued)
    .setExpirationTime(now() + expires)
    .sign(new TextEncoder().encode(secret));
}

// session is a session token of NextAuth v4 (JWE, dir, A256GCM), as its cookie holds it.
export function session(user, { expires = 3600, secret = secrets.nextauth, rooms } = {}) {
  const key = new Uint8Array(hkdfSync("sha256", secret, "", "NextAuth.js Generated Encryption Key", 32));
  return new EncryptJWT({ sub: user, name: user, email: `${user}@example.org`, ...(rooms ? { interlink: { rooms } } : {}) })
    .setProtectedHeader({ alg: "dir", enc: "A256GCM" })
    .setIssuedAt(now())
    .setExpirationTime(now() + expires)
    .setJti(crypto.randomUUID())
    .encrypt(key);
}

export const cookieName = "next-auth.session-token";
