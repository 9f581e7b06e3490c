import { Watchers } from '../watchers.ts';
import { SimulatedBmc, type TlsIdentity } from './bmc.ts';
import { type CertificateKind, type Leaf, makeCertificates } from './certificates.ts';
import { secureContextOf } from './listener.ts';
import { PROFILES, type Profile } from './profiles.ts';
import { recordedTree } from './recorded-tree.ts';
import { Truth } from './truth.ts';

export interface FleetOptions {
  readonly count: number;
  /** Serves a recorded tree instead of generated machines. */
  readonly tree?: string;
  /** https with generated certificates. */
  readonly tls?: boolean;
  /** Default: a good one. */
  readonly certificate?: CertificateKind;
  /** The newest version of TLS that it speaks. */
  readonly maxTlsVersion?: 'TLSv1.2' | 'TLSv1.1';
  /** Basic credentials that every BMC asks for. */
  readonly account?: { readonly username: string; readonly password: string };
  /** Profiles by index, in turn; default: all of them. */
  readonly profiles?: readonly string[];
}

export interface BmcFleet {
  readonly bmcs: readonly SimulatedBmc[];
  readonly truth: Truth;
  /** PEM of the authority that signed the certificates; undefined for http. */
  readonly ca: string | undefined;
  /** Base64 of the SHA-256 of the SubjectPublicKeyInfo of the certificate that all share at first. */
  readonly spkiSha256: string | undefined;
  bmc(index: number): SimulatedBmc;
  /** Resolves as soon as the predicate holds; looked at after each request and each stream that opens or ends. */
  waitFor(predicate: () => boolean): Promise<void>;
  close(): Promise<void>;
}

/** Starts BMCs on free loopback ports, named `bmc-0`, `bmc-1`, ... */
export async function startBmcFleet(options: FleetOptions): Promise<BmcFleet> {
  const certificates = options.tls ? await makeCertificates(options.certificate) : undefined;
  const identityOf = (leaf: Leaf, renew: () => Promise<Leaf>): TlsIdentity => ({
    context: secureContextOf(leaf, options.maxTlsVersion),
    spkiSha256: leaf.spkiSha256,
    renew: async () => identityOf(await renew(), renew),
  });
  const tls = certificates && identityOf(certificates, certificates.renew);
  const truth = new Truth();
  const watchers = new Watchers();
  const names = options.profiles ?? PROFILES.map(({ name }) => name);
  const tree = options.tree === undefined ? undefined : recordedTree(options.tree);
  const bmcs = Array.from(
    { length: options.count },
    (_, index) =>
      new SimulatedBmc({
        name: `bmc-${index}`,
        profile: profileNamed(names[index % names.length]!),
        truth,
        watchers,
        tls,
        tree,
        account: options.account,
      }),
  );
  await Promise.all(bmcs.map((bmc) => bmc.up()));
  return {
    bmcs,
    truth,
    ca: certificates?.ca,
    spkiSha256: tls?.spkiSha256,
    bmc: (index) => bmcs[index]!,
    waitFor: (predicate) => watchers.until(predicate),
    close: async () => {
      await Promise.all(bmcs.map((bmc) => bmc.end()));
    },
  };
}

function profileNamed(name: string): Profile {
  const profile = PROFILES.find((one) => one.name === name);
  if (!profile) throw new Error(`no profile "${name}"`);
  return profile;
}
