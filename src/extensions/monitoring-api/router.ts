import type { Page } from '../../component/page.ts';
import { Problem } from './problem.ts';

export interface Route {
  readonly page: Page;
  readonly params: Readonly<Record<string, string>>;
}

/** Finds the page for a request. HEAD is GET without a body. */
export class Router {
  readonly #pages: Page[] = [];

  add(page: Page): void {
    this.#pages.push(page);
  }

  remove(page: Page): void {
    const place = this.#pages.indexOf(page);
    if (place >= 0) this.#pages.splice(place, 1);
  }

  /** @throws Problem `not_found`, `method_not_allowed` */
  find(method: string, path: string): Route {
    const matching = this.#pages.flatMap((page) => {
      const params = match(page.path, path);
      return params ? [{ page, params }] : [];
    });
    if (matching.length === 0) throw new Problem('not_found', 'there is no such page');
    const wanted = method === 'HEAD' ? 'GET' : method;
    const route = matching.find(({ page }) => page.method === wanted);
    if (route) return route;
    const allow = [...new Set(matching.flatMap(({ page }) => (page.method === 'GET' ? ['GET', 'HEAD'] : ['POST'])))];
    throw new Problem('method_not_allowed', `use ${allow.join(' or ')}`, { allow: allow.join(', ') });
  }
}

function match(pattern: string, path: string): Record<string, string> | undefined {
  const wanted = pattern.split('/');
  const given = path.split('/');
  if (wanted.length !== given.length) return undefined;
  const params: Record<string, string> = {};
  for (const [index, segment] of wanted.entries()) {
    const text = given[index]!;
    if (!segment.startsWith(':')) {
      if (segment !== text) return undefined;
    } else {
      const value = decode(text);
      if (value === undefined || value === '') return undefined;
      params[segment.slice(1)] = value;
    }
  }
  return params;
}

function decode(segment: string): string | undefined {
  try {
    return decodeURIComponent(segment);
  } catch {
    return undefined;
  }
}
