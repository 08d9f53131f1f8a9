#version 450
// Streams through memory, 16 bytes a load: each thread takes every n-th element, so that neighbours read together.
layout(local_size_x = 256) in;
layout(constant_id = 0) const int MODE = 0; // 0 read, 1 copy, 2 write
layout(std430, binding = 0) readonly buffer From { uvec4 from[]; };
layout(std430, binding = 1) buffer To { uvec4 to[]; };
layout(push_constant) uniform Push { uint n; };

void main()
{
    uint i = gl_GlobalInvocationID.x, step = gl_NumWorkGroups.x * gl_WorkGroupSize.x;
    if (MODE == 1) {
        for (; i < n; i += step) to[i] = from[i];
    } else if (MODE == 2) {
        for (; i < n; i += step) to[i] = uvec4(i, 1u, 2u, 3u);
    } else {
        uvec4 a = uvec4(0u), b = uvec4(0u), c = uvec4(0u), d = uvec4(0u); // four loads under way
        for (; i + 3u * step < n; i += 4u * step) {
            a ^= from[i];
            b ^= from[i + step];
            c ^= from[i + 2u * step];
            d ^= from[i + 3u * step];
        }
        for (; i < n; i += step) a ^= from[i];
        a ^= b ^ c ^ d;
        if (a == uvec4(0x9e3779b9u, 0x7f4a7c15u, 0xf39cc060u, 0x5cedc834u)) to[0] = a; // never: but the loads are needed
    }
}
