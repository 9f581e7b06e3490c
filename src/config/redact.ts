import { Secret } from '../component/secret.ts';

const MASK = String(new Secret(''));
/** What is inside is not ours: only its names tell what may be a secret. */
const FOREIGN = new Set(['options']);
const SECRET_NAME = /key|token|secret|pass|pwd|pfx|credential|auth|cookie|dsn|signature/i;
/** User and password, or a query, in a URL. */
const SECRET_IN_URL = /(?<=:\/\/)[^/@\s]*(?=@)|(?<=:\/\/[^?\s]*\?)\S+/g;
/** Values of headers may be keys, whatever form a component gives them. */
const ALWAYS = new Set(['headers']);

/**
 * A value as it was written, with everything masked that its schema holds as a secret.
 * @param checked what the schema made of it
 */
export function redactSecrets(written: unknown, checked: unknown): unknown {
  if (checked instanceof Secret) return MASK;
  // A text that came by reference and looks like something else, such as 0123, is a text to who wants one.
  if (typeof checked === 'string') return checked;
  if (typeof written !== 'object' || written === null || typeof checked !== 'object' || checked === null)
    return written;
  const inside = checked as Record<string, unknown>;
  if (Array.isArray(written)) return written.map((item, index) => redactSecrets(item, inside[index]));
  return Object.fromEntries(
    Object.entries(written).map(([key, item]) => [
      key,
      ALWAYS.has(key) ? masked(item) : FOREIGN.has(key) ? guarded(item) : redactSecrets(item, inside[key]),
    ]),
  );
}

/** With everything masked whose name sounds like a secret. */
function guarded(value: unknown): unknown {
  if (typeof value === 'string') return value.replaceAll(SECRET_IN_URL, MASK);
  if (typeof value !== 'object' || value === null) return value;
  if (Array.isArray(value)) return value.map(guarded);
  return Object.fromEntries(
    Object.entries(value).map(([key, item]) => [
      key,
      SECRET_NAME.test(key) || ALWAYS.has(key) ? masked(item) : guarded(item),
    ]),
  );
}

/** Every text in it, but names of `{name, value}`. */
function masked(value: unknown): unknown {
  if (typeof value !== 'object' || value === null) return MASK;
  if (Array.isArray(value)) return value.map(masked);
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, key === 'name' ? item : masked(item)]));
}
