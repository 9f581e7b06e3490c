import { type AttestationConfig, hasBase, type ModelSettings, model, type SourceSettings } from '../config.ts';

type HttpSource = NonNullable<SourceSettings['http']>;

/** Why a list is none. The text names a place in it, never what stands there. */
export class ListMistake extends Error {}

/** Models of a file: a list as it would stand in the configuration. @throws ListMistake */
export function modelsOfFile(value: unknown, config: Pick<AttestationConfig, 'strategy'>): ModelSettings[] {
  return checked(asList(value), config);
}

/** Models of an answer, whose members have names of their own. @throws ListMistake */
export function modelsOfAnswer(
  value: unknown,
  { items, model: modelField, url_field }: Pick<HttpSource, 'items' | 'model' | 'url_field'>,
  config: Pick<AttestationConfig, 'strategy'>,
): ModelSettings[] {
  const list = asList(items === '' ? value : items.split('.').reduce(member, value));
  return checked(
    list.map((item) => ({ model: member(item, modelField), url: member(item, url_field) })),
    config,
  );
}

function member(value: unknown, name: string): unknown {
  return typeof value === 'object' && value !== null && Object.hasOwn(value, name)
    ? (value as Record<string, unknown>)[name]
    : undefined;
}

function asList(value: unknown): unknown[] {
  if (Array.isArray(value)) return value;
  throw new ListMistake('there is no list of models');
}

/** One wrong item makes the whole list unfit: the last good one stays in force. */
function checked(list: readonly unknown[], { strategy }: Pick<AttestationConfig, 'strategy'>): ModelSettings[] {
  return list.map((item, index) => {
    const { success, data, error } = model.safeParse(item);
    if (!success) {
      const [issue] = error.issues;
      throw new ListMistake(`item ${index}: ${[...issue!.path, issue!.message].join(': ')}`);
    }
    if ((data.strategy ?? strategy) === 'index_sni' && !hasBase(data.url))
      throw new ListMistake(`item ${index}: url: "index_sni" needs a name with at least 3 labels`);
    return data;
  });
}
