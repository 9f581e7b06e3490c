import { stringify } from 'yaml';
import type { AnyFactory } from '../component/factory.ts';
import { VERSION } from '../component/version.ts';
import { CONFIG_FLAGS, defineCommand } from './command.ts';
import { type Factories, readFactories } from './read-config.ts';

const KINDS = ['receiver', 'processor', 'exporter', 'extension'] as const;

/** `outband components`: prints what an agent is built of, as YAML. */
export const command = defineCommand({
  about: 'With --config it lists the components of the plugins that the configuration names, too.',
  flags: { ...CONFIG_FLAGS, json: { type: 'boolean', help: 'machine-readable output' } },
  run: async ({ flags }) => {
    const shown = components(await readFactories(flags));
    process.stdout.write(flags.json ? `${JSON.stringify({ version: 1, ...shown })}\n` : stringify(shown));
    return 0;
  },
});

function components({ factories, modules }: Factories) {
  const buildinfo = {
    command: 'outband',
    description: "Telemetry of what a host's own agent cannot see",
    version: VERSION,
  };
  const entryOf = (factory: AnyFactory) => {
    const { type, aliases = [], stability, summary } = factory;
    return {
      name: type,
      ...(aliases.length > 0 && { aliases }),
      module: modules.get(factory) ?? `outband v${VERSION}`,
      stability: typeof stability === 'string' ? { extension: stability } : stability,
      summary,
    };
  };
  const sections = KINDS.map((kind) => [`${kind}s`, factories.filter((one) => one.kind === kind).map(entryOf)]);
  return { buildinfo, ...Object.fromEntries(sections) };
}
