import { createNodeView, type NodeView, type Page } from '../format/page.js';
import type { NodeVersions } from './node-versions.js';
import { type Tree, type TreePages, TreeSearch } from './tree-search.js';
import { type Reader, visibleData } from './visible-node.js';

/**
 * A position among the nodes that a session sees in a tree, moving both ways. It stays where it is while the
 * tree changes: a node is found again by its bookmark if its page is not the same any more.
 */
export interface TreeCursorOptions {
  readonly pages: TreePages;
  readonly versions: NodeVersions;
  readonly dbid: number;
  readonly tree: Tree;
  readonly reader: Reader;
  /** Whether `data` stays what it is until the next move, whatever changes: for entries of indexes. */
  readonly keepsData?: boolean;
}

const NO_BYTES = new Uint8Array(0);

export class SessionTreeCursor {
  readonly tree: Tree;
  readonly #options: TreeCursorOptions;
  readonly #search: TreeSearch;
  readonly #node: NodeView = createNodeView();
  #page: Page | undefined;
  #pgno = 0;
  #dbtime = 0;
  #line = -1;
  /** Bookmark of the current node. The buffers are reused while they are long enough. */
  #key = new Uint8Array(256);
  #keyLength = 0;
  #data: Uint8Array = NO_BYTES;
  /** In a tree with keys that are not unique the data belong to the bookmark. */
  #bookmarkData: Uint8Array = NO_BYTES;
  #isOn = false;

  constructor(options: TreeCursorOptions) {
    this.#options = options;
    this.tree = options.tree;
    this.#search = new TreeSearch(options.pages);
  }

  /** Whether the cursor is on a node. */
  get isOn(): boolean {
    return this.#isOn;
  }

  /** Key of the current node, as a view that the next move overwrites. */
  get key(): Uint8Array {
    return this.#key.subarray(0, this.#keyLength);
  }

  /** Data of the current node as the session sees it: valid until the next move, change or end of a transaction. */
  get data(): Uint8Array {
    return this.#data;
  }

  /** Moves to the first visible node whose bookmark is not smaller; false if there is none. */
  seek(key: Uint8Array, bookmarkData: Uint8Array = NO_BYTES): boolean {
    this.#search.find(this.tree, key, bookmarkData);
    return this.#forward(this.#search.leaf, this.#search.line);
  }

  /** Moves to the last visible node whose bookmark is smaller; false if there is none. */
  seekBefore(key: Uint8Array, bookmarkData: Uint8Array = NO_BYTES): boolean {
    this.#search.find(this.tree, key, bookmarkData);
    return this.#backward(this.#search.leaf, this.#search.line - 1);
  }

  /** Moves to the node with exactly this key, in a tree with unique keys. */
  seekExact(key: Uint8Array): boolean {
    this.#search.find(this.tree, key);
    const { leaf, line, isExact } = this.#search;
    return isExact && this.#settle(leaf, line) ? true : this.leave();
  }

  first(): boolean {
    return this.seek(NO_BYTES);
  }

  last(): boolean {
    this.#search.findEnd(this.tree);
    return this.#backward(this.#search.leaf, this.#search.line - 1);
  }

  /** Moves to the next visible node; false at the end, where the cursor is on nothing. */
  next(): boolean {
    if (!this.#isOn) return false;
    if (this.#isFresh()) return this.#forward(this.#page as Page, this.#line + 1);
    const isExact = this.#findAgain();
    return this.#forward(this.#search.leaf, this.#search.line + (isExact ? 1 : 0));
  }

  /** Moves to the visible node before; false at the begin. */
  previous(): boolean {
    if (!this.#isOn) return false;
    if (this.#isFresh()) return this.#backward(this.#page as Page, this.#line - 1);
    this.#findAgain();
    return this.#backward(this.#search.leaf, this.#search.line - 1);
  }

  /** Reads the current node again, after changes; false if it is gone for this session. */
  refresh(): boolean {
    if (!this.#isOn) return false;
    if (this.#isFresh()) return this.#settle(this.#page as Page, this.#line);
    if (!this.#findAgain()) return false;
    const { leaf, line } = this.#search;
    return this.#settle(leaf, line);
  }

  /** Whether the page is still the one in the pool, and unchanged. */
  #isFresh(): boolean {
    const page = this.#page;
    // The pool may have made another page of it.
    if (page === undefined || page.pgno !== this.#pgno || page.dbtime !== this.#dbtime) return false;
    return this.#options.pages.readPage(page.pgno) === page;
  }

  #findAgain(): boolean {
    this.#search.find(this.tree, this.key, this.#bookmarkData);
    return this.#search.isExact;
  }

  #forward(start: Page, from: number): boolean {
    let page = start;
    let line = from;
    for (;;) {
      for (; line < page.nodeCount; line++) {
        if (this.#settle(page, line)) return true;
      }
      if (page.pgnoNext === 0) return this.leave();
      page = this.#options.pages.readPage(page.pgnoNext);
      line = 0;
    }
  }

  #backward(start: Page, from: number): boolean {
    let page = start;
    let line = from;
    for (;;) {
      for (; line >= 0; line--) {
        if (this.#settle(page, line)) return true;
      }
      if (page.pgnoPrev === 0) return this.leave();
      page = this.#options.pages.readPage(page.pgnoPrev);
      line = page.nodeCount - 1;
    }
  }

  /** Puts the cursor on a node, if the session sees it. */
  #settle(page: Page, line: number): boolean {
    const { versions, dbid, reader, keepsData } = this.#options;
    const node = this.#node;
    page.readNode(line, node);
    const data = visibleData(versions, dbid, this.tree, page, node, reader);
    if (data === undefined) return false;
    const length = node.prefixLength + node.suffixLength;
    if (this.#key.length < length) this.#key = new Uint8Array(2 * length);
    this.#keyLength = page.copyKey(node, this.#key);
    this.#data = keepsData === true ? data.slice() : data;
    if (!this.tree.isUnique) this.#bookmarkData = keepsData === true ? this.#data : data.slice();
    this.#page = page;
    this.#pgno = page.pgno;
    this.#dbtime = page.dbtime;
    this.#line = line;
    this.#isOn = true;
    return true;
  }

  /** Leaves the node; returns false. */
  leave(): boolean {
    this.#isOn = false;
    this.#page = undefined;
    return false;
  }
}
