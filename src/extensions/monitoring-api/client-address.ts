import { BlockList, isIP } from 'node:net';

/** Addresses and CIDR blocks whose `X-Forwarded-For` counts. */
export class TrustedProxies {
  readonly #list = new BlockList();

  /** @param blocks checked with {@link isAddressBlock} */
  constructor(blocks: readonly string[]) {
    for (const block of blocks) {
      const [address, prefix] = block.split('/') as [string, string?];
      const family = isIP(address) === 6 ? 'ipv6' : 'ipv4';
      if (prefix === undefined) this.#list.addAddress(address, family);
      else this.#list.addSubnet(address, Number(prefix), family);
    }
  }

  has(address: string): boolean {
    return this.#list.check(address, isIP(address) === 6 ? 'ipv6' : 'ipv4');
  }
}

/** `10.0.0.1`, `10.0.0.0/8`, `fd00::/8`. */
export function isAddressBlock(text: string): boolean {
  const [address, prefix, rest] = text.split('/') as [string, string?, string?];
  const family = isIP(address);
  if (family === 0 || rest !== undefined) return false;
  return prefix === undefined || (/^\d{1,3}$/.test(prefix) && Number(prefix) <= (family === 6 ? 128 : 32));
}

/**
 * Who sent a request: the peer, or, when that is a trusted proxy, the rightmost forwarded address that is not one. What
 * anybody else puts into the header changes nothing.
 * @param forwarded values of `X-Forwarded-For`, in order
 */
export function clientAddress(peer: string, forwarded: string | undefined, trusted: TrustedProxies): string {
  let client = plainAddress(peer);
  const hops = (forwarded ?? '').split(',').map((hop) => plainAddress(withoutPort(hop.trim())));
  while (trusted.has(client) && hops.length > 0) {
    const hop = hops.pop()!;
    if (isIP(hop) === 0) break;
    client = hop;
  }
  return client;
}

/** What is limited as one: an IPv4 address, or the network of 64 bits that one IPv6 host commonly has for itself. */
export function rateLimitKey(address: string): string {
  if (isIP(address) !== 6) return address;
  const [head = '', tail] = canonical(address).split('::') as [string, string?];
  const before = head === '' ? [] : head.split(':');
  const after = tail ? tail.split(':') : [];
  const zeros = new Array<string>(8 - before.length - after.length).fill('0');
  const groups = tail === undefined ? before : [...before, ...zeros, ...after];
  return `${groups.slice(0, 4).join(':')}::/64`;
}

/** IPv4 inside IPv6 is IPv4, in whatever way it is written. */
export function plainAddress(address: string): string {
  if (isIP(address) !== 6) return address;
  const mapped = /^::ffff:([0-9a-f]{1,4}):([0-9a-f]{1,4})$/.exec(canonical(address));
  if (!mapped) return address;
  const [high, low] = [Number.parseInt(mapped[1]!, 16), Number.parseInt(mapped[2]!, 16)];
  return [high >> 8, high & 255, low >> 8, low & 255].join('.');
}

/** Lower case, without zone, groups without leading zeros, all in hexadecimal. */
function canonical(address: string): string {
  return new URL(`http://[${address.split('%')[0]}]`).hostname.slice(1, -1);
}

/** Proxies write `1.2.3.4:5678`, `[::1]` and `[::1]:5678`, too. */
function withoutPort(hop: string): string {
  return /^\[([^\]]+)\](?::\d+)?$/.exec(hop)?.[1] ?? /^([^:]+):\d+$/.exec(hop)?.[1] ?? hop;
}

/** By its name alone: nothing is resolved. */
export function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || (isIP(host) === 4 && host.startsWith('127.'));
}
