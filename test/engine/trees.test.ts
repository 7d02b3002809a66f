import { expect, it } from 'vitest';
import { createFilePageSource } from '../../src/engine/page-source.js';
import { readTreeSpace } from '../../src/engine/space-reader.js';
import { TreeCursor, walkTree } from '../../src/engine/tree-reader.js';
import { createNodeView, NODE_FLAG } from '../../src/format/page.js';
import { nodeFileSystem } from '../../src/io/node-file-system.js';
import { allCorpusDatabases, corpusJson, describeWithCorpus } from '../corpus.js';

describeWithCorpus('trees and space of real databases', () => {
  interface Facts {
    header: { elected: { pageSize: number } };
    trees: {
      trees: {
        tree: string;
        kind: string;
        objid: number;
        root: number;
        depth: number;
        leaves: number;
        pages: number;
        nodes: number;
        deleted: number;
      }[];
    };
    space: {
      trees: {
        tree: string;
        kind: string;
        objid: number;
        root: number;
        parent: number;
        ownedExtents: [number, number][];
        avail: number;
        owned: number;
        availExtents: [number, number][];
        spaceTreePages: number;
      }[];
      lastOwned: number;
      leaked: [number, number][];
    };
  }

  for (const { name, path, facts: factsPath } of allCorpusDatabases()) {
    const facts = corpusJson<Facts>(...factsPath);
    // The derived crash states have pages that were never written: their trees are not whole.
    if (!Array.isArray(facts.trees.trees)) continue;
    const open = () => createFilePageSource(nodeFileSystem.open(path, 'read'), facts.header.elected.pageSize);

    it(`every tree of ${name} has the shape of its facts`, () => {
      const source = open();
      const node = createNodeView();
      for (const { tree, objid, root, depth, leaves, pages, nodes, deleted } of facts.trees.trees) {
        const shape = { depth: 0, leaves: 0, pages: 0, nodes: 0, deleted: 0 };
        walkTree(
          source,
          { pgnoFdp: root, objid },
          {
            internal: () => {
              shape.pages++;
            },
            leaf: (page, level) => {
              shape.pages++;
              shape.leaves++;
              shape.depth = Math.max(shape.depth, level + 1);
              shape.nodes += page.nodeCount;
              for (let line = 0; line < page.nodeCount; line++) {
                page.readNode(line, node);
                if ((node.flags & NODE_FLAG.deleted) !== 0) shape.deleted++;
              }
              return true;
            },
          },
        );
        expect([tree, shape]).toEqual([tree, { depth, leaves, pages, nodes, deleted }]);
      }
      expect(source.correctedPages.size).toBe(0);
    });

    it(`a cursor over ${name} meets the live nodes of each tree in key order`, () => {
      const source = open();
      for (const { tree, objid, root, nodes, deleted, kind } of facts.trees.trees) {
        const cursor = new TreeCursor(source, { pgnoFdp: root, objid });
        let live = 0;
        let previous = new Uint8Array(0);
        for (let on = cursor.seek(previous); on; on = cursor.next()) {
          const order = cursor.page.compareKey(cursor.node, previous);
          if (order < 0 || (order === 0 && kind !== 'index')) expect.fail(`${tree}: key out of order`);
          previous = new Uint8Array(cursor.page.key(cursor.node));
          live++;
        }
        expect([tree, live]).toEqual([tree, nodes - deleted]);
      }
    });

    it(`every tree of ${name} owns and has available what its facts say`, () => {
      const source = open();
      for (const fact of facts.space.trees) {
        const space = readTreeSpace(source, { pgnoFdp: fact.root, objid: fact.objid });
        const extents = (list: typeof space.owned) => list.map((e) => [e.first, e.count]);
        const pages = (list: typeof space.owned) => list.reduce((sum, { count }) => sum + count, 0);
        expect([fact.tree, pages(space.available)]).toEqual([fact.tree, fact.avail]);
        // The facts list available extents only for trees that keep them in a tree.
        if (space.header.pgnoOe !== 0) expect(extents(space.available)).toEqual(fact.availExtents);
        // The facts list the first extents of a tree that has many, and count the pages of all.
        const listed = extents(space.owned).slice(0, fact.ownedExtents.length);
        expect([fact.tree, listed]).toEqual([fact.tree, fact.ownedExtents]);
        expect([fact.tree, pages(space.owned)]).toEqual([fact.tree, fact.owned]);
        expect(space.header.pgnoParent).toBe(fact.parent);
        expect(space.spaceTreePages.length).toBe(fact.spaceTreePages);
      }
    });

    it(`the trees of ${name} share out every owned page once`, () => {
      const source = open();
      const users = new Map<number, number>();
      const use = (pgno: number): void => {
        users.set(pgno, (users.get(pgno) ?? 0) + 1);
      };
      for (const { root, objid } of facts.space.trees) {
        const space = readTreeSpace(source, { pgnoFdp: root, objid });
        space.spaceTreePages.forEach(use);
        for (const { first, count } of [...space.available, ...space.splitBuffers]) {
          for (let i = 0; i < count; i++) use(first + i);
        }
        walkTree(
          source,
          { pgnoFdp: root, objid },
          {
            internal: (page) => use(page.pgno),
            leaf: (page) => {
              use(page.pgno);
              return true;
            },
          },
        );
      }
      const unused: number[] = [];
      for (let pgno = 1; pgno <= facts.space.lastOwned; pgno++) {
        if (users.get(pgno) === undefined) unused.push(pgno);
        else expect([pgno, users.get(pgno)]).toEqual([pgno, 1]);
      }
      const leaked = facts.space.leaked.flatMap(([first, last]) =>
        Array.from({ length: last - first + 1 }, (_, i) => first + i),
      );
      expect(unused).toEqual(leaked);
      expect(Math.max(...users.keys())).toBeLessThanOrEqual(facts.space.lastOwned);
    });
  }
});
