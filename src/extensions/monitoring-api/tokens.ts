import { createHash, timingSafeEqual } from 'node:crypto';
import { readFile, stat } from 'node:fs/promises';
import type { Logger } from '../../component/component.ts';
import { OutbandError } from '../../component/errors.ts';
import type { Secret } from '../../component/secret.ts';

export const LEAST_TOKEN_LENGTH = 16;

interface Token {
  readonly name: string;
  readonly digest: Buffer;
}

/** The tokens that are valid now. Those of the file change with it, without a restart. */
export class Tokens {
  readonly #fixed: readonly Token[];
  readonly #file: string | undefined;
  readonly #logger: Logger;
  #fromFile: readonly Token[] = [];
  #lastText = '';
  #lastError = '';

  constructor(fixed: readonly { name: string; token: Secret }[], file: string | undefined, logger: Logger) {
    this.#fixed = fixed.map(({ name, token }) => ({ name, digest: digestOf(token.reveal()) }));
    this.#file = file;
    this.#logger = logger;
  }

  /** @throws OutbandError `config_source` when there is a file that cannot be used */
  async load(): Promise<void> {
    if (this.#file === undefined) return;
    const text = await readFile(this.#file, 'utf8').catch((cause: Error) => {
      throw new OutbandError('config_source', `cannot read ${this.#file}: ${cause.message}`, { cause });
    });
    if (text === this.#lastText) return;
    this.#fromFile = parse(text, this.#file);
    this.#lastText = text;
    const { mode } = await stat(this.#file);
    if ((mode & 0o077) !== 0)
      this.#logger.warn('the token file can be read by others than its owner', { file: this.#file });
  }

  /** As {@link load}, but what was valid stays valid when the file is broken. */
  async reload(): Promise<void> {
    try {
      await this.load();
      this.#lastError = '';
    } catch (error) {
      const { message } = error as Error;
      if (message !== this.#lastError) this.#logger.error('tokens stay as they were', { error });
      this.#lastError = message;
    }
  }

  /** The name of a valid token. Compares with all of them, each time in the same time. */
  nameOf(text: string): string | undefined {
    const digest = digestOf(text);
    let found: string | undefined;
    for (const token of [...this.#fixed, ...this.#fromFile])
      if (timingSafeEqual(token.digest, digest)) found ??= token.name;
    return found;
  }
}

export function digestOf(text: string): Buffer {
  return createHash('sha256').update(text).digest();
}

/** One per line, optional `name:` before it, `#` begins a comment. */
function parse(text: string, file: string): Token[] {
  const tokens: Token[] = [];
  for (const [index, line] of text.split(/\r?\n/).entries()) {
    const content = line.trim();
    if (content === '' || content.startsWith('#')) continue;
    const [, name = `line ${index + 1}`, token = ''] = /^(?:([A-Za-z0-9_.-]{1,64}):\s*)?(.*)$/.exec(content)!;
    if (token.length < LEAST_TOKEN_LENGTH)
      throw new OutbandError('config_source', `line ${index + 1}: must have at least ${LEAST_TOKEN_LENGTH} characters`);
    tokens.push({ name, digest: digestOf(token) });
  }
  if (tokens.length === 0) throw new OutbandError('config_source', `cannot read ${file}: it holds no token`);
  return tokens;
}
