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
  const hops = (forwarded ?? '').split(',').map((hop) => plainAddress(hop.trim()));
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
  const [head = '', tail] = address.split('%')[0]!.split('::') as [string, string?];
  const before = head === '' ? [] : head.split(':');
  const after = tail ? tail.split(':') : [];
  const zeros = tail === undefined ? 0 : 8 - before.length - after.length;
  const groups = [...before, ...new Array<string>(Math.max(0, zeros)).fill('0'), ...after].slice(0, 4);
  return `${groups.map((group) => Number.parseInt(group, 16).toString(16)).join(':')}::/64`;
}

/** IPv4 inside IPv6 is IPv4. */
export function plainAddress(address: string): string {
  return /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(address)?.[1] ?? address;
}
