import type { Signal, Stability } from '../component/factory.ts';
import type { AgentConfig } from '../config/agent-config.ts';

/** The Collector's words, the least stable first. */
const LINES: Partial<Record<Stability, string>> = {
  development: 'Development component. May change in the future.',
  alpha: 'Alpha component. May change in the future.',
};

/** Components at work that may still change, and what is told of each at start: of the signals it is used for, the least stable counts. */
export function belowBeta(config: AgentConfig): { readonly id: string; readonly line: string }[] {
  const inPipelines = (['receivers', 'processors', 'exporters'] as const).flatMap((section) =>
    [...config[section].values()].map(({ key, factory }) => {
      const used = config.pipelines.filter((pipeline) => pipeline[section].includes(key));
      return { id: key, words: used.map(({ signal }) => factory.stability[signal as Signal]) };
    }),
  );
  const extensions = config.service.extensions.map((key) => ({
    id: key,
    words: [config.extensions.get(key)!.factory.stability],
  }));
  return [...inPipelines, ...extensions].flatMap(({ id, words }) => {
    const young = Object.entries(LINES).find(([word]) => words.includes(word as Stability));
    return young ? [{ id, line: young[1] }] : [];
  });
}
