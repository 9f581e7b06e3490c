/** A page that a component serves under the monitoring API, which puts authentication, limits and headers around it. */
export interface Page {
  readonly method: 'GET' | 'POST';
  /** Begins with `/api/`; a segment `:name` matches any one segment, decoded. */
  readonly path: string;
  /** It commands something, so it needs `allow_actions`. */
  readonly commands?: boolean;
  /** It takes a JSON body of at most 4 KiB. Any other body is refused. */
  readonly takesBody?: boolean;
  /** Called once per request that may see it. A rejection is an answer of 500. */
  handle(request: PageRequest): PageAnswer | Promise<PageAnswer>;
}

export interface PageRequest {
  readonly params: Readonly<Record<string, string>>;
  readonly query: URLSearchParams;
  /** Parsed JSON; undefined when there was none. */
  readonly body: unknown;
  /** Lower-case names. */
  readonly headers: Readonly<Record<string, string | undefined>>;
  /** Name of the token, and address of the client, for the log. */
  readonly caller: { readonly name: string; readonly address: string };
}

export interface PageAnswer {
  readonly status: number;
  /** Written as JSON; undefined: no body. */
  readonly body?: unknown;
  readonly headers?: Readonly<Record<string, string>>;
}

/** Something that puts pages on the network. */
export interface PageServer {
  serve(page: Page): void;
  /** Its component is gone. */
  withdraw(page: Page): void;
}

export function isPageServer(component: object): component is PageServer {
  return 'serve' in component && typeof component.serve === 'function';
}
