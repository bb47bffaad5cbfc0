// A stream of the emulated GPU, which driver and cuDNN share. What is queued runs at once, but for two things: copies from
// pinned memory are done when somebody waits for them, so that whoever forgets to wait finds other bytes; and what is
// captured runs with its graph.

#pragma once

#include <stddef.h>
#include <string.h>

#include <functional>
#include <vector>

struct Copy {
  void *to;
  const void *from;
  size_t bytes;
};

struct Graph {
  std::vector<std::function<void()>> nodes;
};

struct Stream {
  std::vector<Copy> copies;
  Graph *captured = nullptr;

  void finish() {
    for (Copy &copy : copies) memcpy(copy.to, copy.from, copy.bytes);
    copies.clear();
  }

  void queue(std::function<void()> work) {
    if (captured) {
      captured->nodes.push_back(work);
    } else {
      finish();
      work();
    }
  }
};
