// The process's heap. For the main function of a program, before threads start.
#ifndef LONGHAND_CORE_BASE_HEAP_H_
#define LONGHAND_CORE_BASE_HEAP_H_

namespace longhand {

// Gives every block of 128 KiB and more pages of its own, for good. glibc
// raises that limit once such a block was freed; chunk states, which stay, then
// lie between the activations of their batch, which go, and leave holes of
// about a third of their size. Without effect on another C library.
void GiveLargeBlocksTheirOwnPages();

// Gives memory back to the system if much of the heap is free: glibc keeps what
// a burst has left behind. From any thread, now and then; takes milliseconds
// when it does something.
void TrimHeap();

}  // namespace longhand

#endif  // LONGHAND_CORE_BASE_HEAP_H_
