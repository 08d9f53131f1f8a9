/* gpu-bandwidth: how fast a GPU reads, copies and writes memory, by a Vulkan compute shader; no ROCm, no CUDA.
 *
 *     gpu-bandwidth [--list] [--device N] [--size MB] [--repeat N] [--json]
 *
 * Copy counts the bytes read and those written. Exit codes: 0 measured, 1 no device or an error, 2 usage. */
#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <vulkan/vulkan.h>

#include "stream.h" /* stream_spirv, made from stream.comp */

enum { MODES = 3, MAX_DEVICES = 16, MAX_REPEAT = 100, GROUP = 256, ELEMENT = 16 };
static const char *const mode_names[MODES] = {"read", "copy", "write"};

typedef struct options {
    bool list, json;
    long device, size, repeat; /* device -1: the first that is no CPU, else the first */
} options;

typedef struct gpu {
    VkPhysicalDevice physical;
    VkPhysicalDeviceProperties properties;
    VkDevice device;
    VkQueue queue;
    uint32_t family, memory_type;
    VkBuffer buffer[2];
    VkDeviceMemory memory[2];
    VkDescriptorSetLayout set_layout;
    VkDescriptorPool descriptors;
    VkDescriptorSet set;
    VkPipelineLayout layout;
    VkShaderModule shader;
    VkPipeline pipeline[MODES];
    VkCommandPool commands;
    VkFence fence;
    uint64_t bytes;
} gpu;

static int fail(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
static int fail(const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    fputs("gpu-bandwidth: ", stderr);
    vfprintf(stderr, fmt, ap);
    fputc('\n', stderr);
    va_end(ap);
    return 1;
}

#define TRY(call)                                                                                                    \
    do {                                                                                                             \
        VkResult try_result = (call);                                                                                \
        if (try_result != VK_SUCCESS) return fail("%s: error %d", #call, try_result);                                \
    } while (0)

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* ---- what a measurement needs ---- */

static int open_device(gpu *g)
{
    VkQueueFamilyProperties families[32];
    uint32_t n = 32;
    float priority = 1;
    vkGetPhysicalDeviceQueueFamilyProperties(g->physical, &n, families);
    for (g->family = 0; g->family < n && !(families[g->family].queueFlags & VK_QUEUE_COMPUTE_BIT);) g->family++;
    if (g->family == n) return fail("%s: no queue for compute", g->properties.deviceName);
    VkDeviceQueueCreateInfo queue = {.sType = VK_STRUCTURE_TYPE_DEVICE_QUEUE_CREATE_INFO,
                                     .queueFamilyIndex = g->family,
                                     .queueCount = 1,
                                     .pQueuePriorities = &priority};
    TRY(vkCreateDevice(g->physical,
                       &(VkDeviceCreateInfo){.sType = VK_STRUCTURE_TYPE_DEVICE_CREATE_INFO,
                                             .queueCreateInfoCount = 1,
                                             .pQueueCreateInfos = &queue},
                       NULL, &g->device));
    vkGetDeviceQueue(g->device, g->family, 0, &g->queue);
    return 0;
}

/* The device's own memory where there is such a type among those allowed. */
static bool find_memory(gpu *g, uint32_t allowed)
{
    VkPhysicalDeviceMemoryProperties m;
    vkGetPhysicalDeviceMemoryProperties(g->physical, &m);
    for (int pass = 0; pass < 2; pass++)
        for (g->memory_type = 0; g->memory_type < m.memoryTypeCount; g->memory_type++) {
            bool own = m.memoryTypes[g->memory_type].propertyFlags & VK_MEMORY_PROPERTY_DEVICE_LOCAL_BIT;
            if ((allowed >> g->memory_type & 1) && (own || pass)) return true;
        }
    return false;
}

static int make_buffers(gpu *g)
{
    for (int i = 0; i < 2; i++) {
        VkMemoryRequirements need;
        TRY(vkCreateBuffer(
            g->device,
            &(VkBufferCreateInfo){.sType = VK_STRUCTURE_TYPE_BUFFER_CREATE_INFO,
                                  .size = g->bytes,
                                  .usage = VK_BUFFER_USAGE_STORAGE_BUFFER_BIT | VK_BUFFER_USAGE_TRANSFER_DST_BIT},
            NULL, &g->buffer[i]));
        vkGetBufferMemoryRequirements(g->device, g->buffer[i], &need);
        if (!find_memory(g, need.memoryTypeBits)) return fail("%s: no memory for buffers", g->properties.deviceName);
        TRY(vkAllocateMemory(g->device,
                             &(VkMemoryAllocateInfo){.sType = VK_STRUCTURE_TYPE_MEMORY_ALLOCATE_INFO,
                                                     .allocationSize = need.size,
                                                     .memoryTypeIndex = g->memory_type},
                             NULL, &g->memory[i]));
        TRY(vkBindBufferMemory(g->device, g->buffer[i], g->memory[i], 0));
    }
    return 0;
}

static int bind_buffers(gpu *g)
{
    VkDescriptorSetLayoutBinding bindings[2] = {{.binding = 0,
                                                 .descriptorType = VK_DESCRIPTOR_TYPE_STORAGE_BUFFER,
                                                 .descriptorCount = 1,
                                                 .stageFlags = VK_SHADER_STAGE_COMPUTE_BIT},
                                                {.binding = 1,
                                                 .descriptorType = VK_DESCRIPTOR_TYPE_STORAGE_BUFFER,
                                                 .descriptorCount = 1,
                                                 .stageFlags = VK_SHADER_STAGE_COMPUTE_BIT}};
    VkDescriptorPoolSize size = {VK_DESCRIPTOR_TYPE_STORAGE_BUFFER, 2};
    TRY(vkCreateDescriptorSetLayout(
        g->device,
        &(VkDescriptorSetLayoutCreateInfo){
            .sType = VK_STRUCTURE_TYPE_DESCRIPTOR_SET_LAYOUT_CREATE_INFO, .bindingCount = 2, .pBindings = bindings},
        NULL, &g->set_layout));
    TRY(vkCreateDescriptorPool(g->device,
                               &(VkDescriptorPoolCreateInfo){.sType = VK_STRUCTURE_TYPE_DESCRIPTOR_POOL_CREATE_INFO,
                                                             .maxSets = 1,
                                                             .poolSizeCount = 1,
                                                             .pPoolSizes = &size},
                               NULL, &g->descriptors));
    TRY(vkAllocateDescriptorSets(
        g->device,
        &(VkDescriptorSetAllocateInfo){.sType = VK_STRUCTURE_TYPE_DESCRIPTOR_SET_ALLOCATE_INFO,
                                       .descriptorPool = g->descriptors,
                                       .descriptorSetCount = 1,
                                       .pSetLayouts = &g->set_layout},
        &g->set));
    for (uint32_t i = 0; i < 2; i++) {
        VkDescriptorBufferInfo info = {g->buffer[i], 0, g->bytes};
        vkUpdateDescriptorSets(g->device, 1,
                               &(VkWriteDescriptorSet){.sType = VK_STRUCTURE_TYPE_WRITE_DESCRIPTOR_SET,
                                                       .dstSet = g->set,
                                                       .dstBinding = i,
                                                       .descriptorCount = 1,
                                                       .descriptorType = VK_DESCRIPTOR_TYPE_STORAGE_BUFFER,
                                                       .pBufferInfo = &info},
                               0, NULL);
    }
    return 0;
}

static int make_pipelines(gpu *g)
{
    VkPushConstantRange push = {VK_SHADER_STAGE_COMPUTE_BIT, 0, sizeof(uint32_t)};
    TRY(vkCreatePipelineLayout(g->device,
                               &(VkPipelineLayoutCreateInfo){.sType = VK_STRUCTURE_TYPE_PIPELINE_LAYOUT_CREATE_INFO,
                                                             .setLayoutCount = 1,
                                                             .pSetLayouts = &g->set_layout,
                                                             .pushConstantRangeCount = 1,
                                                             .pPushConstantRanges = &push},
                               NULL, &g->layout));
    TRY(vkCreateShaderModule(g->device,
                             &(VkShaderModuleCreateInfo){.sType = VK_STRUCTURE_TYPE_SHADER_MODULE_CREATE_INFO,
                                                         .codeSize = sizeof stream_spirv,
                                                         .pCode = stream_spirv},
                             NULL, &g->shader));
    for (int32_t mode = 0; mode < MODES; mode++) {
        VkSpecializationMapEntry entry = {0, 0, sizeof mode};
        VkSpecializationInfo special = {1, &entry, sizeof mode, &mode};
        VkComputePipelineCreateInfo info = {.sType = VK_STRUCTURE_TYPE_COMPUTE_PIPELINE_CREATE_INFO,
                                            .layout = g->layout,
                                            .stage = {.sType = VK_STRUCTURE_TYPE_PIPELINE_SHADER_STAGE_CREATE_INFO,
                                                      .stage = VK_SHADER_STAGE_COMPUTE_BIT,
                                                      .module = g->shader,
                                                      .pName = "main",
                                                      .pSpecializationInfo = &special}};
        TRY(vkCreateComputePipelines(g->device, VK_NULL_HANDLE, 1, &info, NULL, &g->pipeline[mode]));
    }
    TRY(vkCreateCommandPool(g->device,
                            &(VkCommandPoolCreateInfo){.sType = VK_STRUCTURE_TYPE_COMMAND_POOL_CREATE_INFO,
                                                       .flags = VK_COMMAND_POOL_CREATE_RESET_COMMAND_BUFFER_BIT,
                                                       .queueFamilyIndex = g->family},
                            NULL, &g->commands));
    TRY(vkCreateFence(g->device, &(VkFenceCreateInfo){.sType = VK_STRUCTURE_TYPE_FENCE_CREATE_INFO}, NULL,
                      &g->fence));
    return 0;
}

static void close_device(gpu *g)
{
    if (!g->device) return;
    vkDestroyFence(g->device, g->fence, NULL);
    vkDestroyCommandPool(g->device, g->commands, NULL);
    for (int i = 0; i < MODES; i++) vkDestroyPipeline(g->device, g->pipeline[i], NULL);
    vkDestroyShaderModule(g->device, g->shader, NULL);
    vkDestroyPipelineLayout(g->device, g->layout, NULL);
    vkDestroyDescriptorPool(g->device, g->descriptors, NULL);
    vkDestroyDescriptorSetLayout(g->device, g->set_layout, NULL);
    for (int i = 0; i < 2; i++) {
        vkDestroyBuffer(g->device, g->buffer[i], NULL);
        vkFreeMemory(g->device, g->memory[i], NULL);
    }
    vkDestroyDevice(g->device, NULL);
}

/* ---- measuring ---- */

/* `times` passes of one mode (or, with mode -1, both buffers filled), and how long they took by the clock. */
static int run(gpu *g, int mode, int times, double *seconds)
{
    VkCommandBuffer c;
    uint32_t n = (uint32_t)(g->bytes / ELEMENT), groups = n / GROUP / 16;
    VkMemoryBarrier barrier = {.sType = VK_STRUCTURE_TYPE_MEMORY_BARRIER,
                               .srcAccessMask = VK_ACCESS_SHADER_WRITE_BIT,
                               .dstAccessMask = VK_ACCESS_SHADER_READ_BIT | VK_ACCESS_SHADER_WRITE_BIT};
    if (groups < 1) groups = 1;
    if (groups > g->properties.limits.maxComputeWorkGroupCount[0])
        groups = g->properties.limits.maxComputeWorkGroupCount[0];
    TRY(vkAllocateCommandBuffers(
        g->device,
        &(VkCommandBufferAllocateInfo){.sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_ALLOCATE_INFO,
                                       .commandPool = g->commands,
                                       .level = VK_COMMAND_BUFFER_LEVEL_PRIMARY,
                                       .commandBufferCount = 1},
        &c));
    TRY(vkBeginCommandBuffer(c, &(VkCommandBufferBeginInfo){.sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_BEGIN_INFO}));
    for (int i = 0; mode < 0 && i < 2; i++)
        vkCmdFillBuffer(c, g->buffer[i], 0, g->bytes, 0x01020304u * (uint32_t)(i + 1));
    if (mode >= 0) {
        vkCmdBindPipeline(c, VK_PIPELINE_BIND_POINT_COMPUTE, g->pipeline[mode]);
        vkCmdBindDescriptorSets(c, VK_PIPELINE_BIND_POINT_COMPUTE, g->layout, 0, 1, &g->set, 0, NULL);
        vkCmdPushConstants(c, g->layout, VK_SHADER_STAGE_COMPUTE_BIT, 0, sizeof n, &n);
    }
    for (int i = 0; mode >= 0 && i < times; i++) {
        vkCmdDispatch(c, groups, 1, 1);
        vkCmdPipelineBarrier(c, VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT, VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT, 0, 1,
                             &barrier, 0, NULL, 0, NULL);
    }
    TRY(vkEndCommandBuffer(c));
    double start = now();
    TRY(vkQueueSubmit(
        g->queue, 1,
        &(VkSubmitInfo){.sType = VK_STRUCTURE_TYPE_SUBMIT_INFO, .commandBufferCount = 1, .pCommandBuffers = &c},
        g->fence));
    TRY(vkWaitForFences(g->device, 1, &g->fence, VK_TRUE, 60ull * 1000000000));
    *seconds = now() - start;
    TRY(vkResetFences(g->device, 1, &g->fence));
    vkFreeCommandBuffers(g->device, g->commands, 1, &c);
    return 0;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* GB/s of each repetition, sorted. As many passes as make a sample of about a tenth of a second. */
static int measure(gpu *g, int mode, long repeat, double *v)
{
    double s;
    int times = 1;
    if (run(g, mode, 1, &s) || run(g, mode, 1, &s)) return 1;
    if (s < 0.1) times = (int)(0.1 / (s > 1e-5 ? s : 1e-5)) + 1;
    for (long i = 0; i < repeat; i++) {
        if (run(g, mode, times, &s)) return 1;
        v[i] = (double)g->bytes * times * (mode == 1 ? 2 : 1) / s / 1e9;
    }
    qsort(v, (size_t)repeat, sizeof *v, by_value);
    return 0;
}

static const char *type_name(VkPhysicalDeviceType t)
{
    switch (t) {
    case VK_PHYSICAL_DEVICE_TYPE_INTEGRATED_GPU: return "integrated";
    case VK_PHYSICAL_DEVICE_TYPE_DISCRETE_GPU: return "discrete";
    case VK_PHYSICAL_DEVICE_TYPE_VIRTUAL_GPU: return "virtual";
    case VK_PHYSICAL_DEVICE_TYPE_CPU: return "cpu";
    default: return "other";
    }
}

/* Names come from drivers: quotes and control characters stay out of the JSON. */
static void print_name(const char *s)
{
    for (; *s; s++) putchar(*s == '"' || *s == '\\' || (unsigned char)*s < 32 ? '?' : *s);
}

static int report(gpu *g, const options *o)
{
    double v[MODES][MAX_REPEAT], s;
    if (run(g, -1, 0, &s)) return 1;
    for (int mode = 0; mode < MODES; mode++)
        if (measure(g, mode, o->repeat, v[mode])) return 1;
    if (o->json) {
        printf("{\"device\": \"");
        print_name(g->properties.deviceName);
        printf("\", \"type\": \"%s\", \"vendor_id\": %u, \"device_id\": %u, \"bytes\": %llu",
               type_name(g->properties.deviceType), g->properties.vendorID, g->properties.deviceID,
               (unsigned long long)g->bytes);
    } else {
        print_name(g->properties.deviceName);
        printf(" (%s), buffers of %llu MiB; GB/s: least, median, most\n", type_name(g->properties.deviceType),
               (unsigned long long)(g->bytes >> 20));
    }
    for (int mode = 0; mode < MODES; mode++) {
        const double *x = v[mode];
        const char *form =
            o->json ? ", \"%s\": {\"min\": %.3f, \"median\": %.3f, \"max\": %.3f}" : "%-6s %9.1f %9.1f %9.1f\n";
        printf(form, mode_names[mode], x[0], x[o->repeat / 2], x[o->repeat - 1]);
    }
    if (o->json) puts("}");
    return fflush(stdout) != 0 || ferror(stdout);
}

/* ---- the program ---- */

static int usage(void)
{
    fputs("usage: gpu-bandwidth [--list] [--device N] [--size MB] [--repeat N] [--json]\n", stderr);
    return 2;
}

static bool number(const char *text, long min, long max, long *out)
{
    char *end;
    errno = 0;
    *out = text ? strtol(text, &end, 10) : min - 1;
    return text && end != text && !*end && !errno && *out >= min && *out <= max;
}

static int parse(int argc, char **argv, options *o)
{
    for (int i = 1; i < argc; i++) {
        const char *next = i + 1 < argc ? argv[i + 1] : NULL;
        if (!strcmp(argv[i], "--list"))
            o->list = true;
        else if (!strcmp(argv[i], "--json"))
            o->json = true;
        else if (!strcmp(argv[i], "--device") && number(next, 0, MAX_DEVICES - 1, &o->device))
            i++;
        else if (!strcmp(argv[i], "--size") && number(next, 1, 65536, &o->size))
            i++;
        else if (!strcmp(argv[i], "--repeat") && number(next, 1, MAX_REPEAT, &o->repeat))
            i++;
        else
            return usage();
    }
    return 0;
}

static int choose(VkPhysicalDevice *devices, uint32_t n, const options *o, gpu *g)
{
    if (o->device >= (long)n) return fail("--device %ld: there are %u", o->device, n);
    uint32_t which = 0;
    for (uint32_t i = 0; i < n; i++) {
        VkPhysicalDeviceProperties p;
        vkGetPhysicalDeviceProperties(devices[i], &p);
        if (o->list) {
            printf("%u ", i);
            print_name(p.deviceName);
            printf(" (%s)\n", type_name(p.deviceType));
        }
        vkGetPhysicalDeviceProperties(devices[which], &g->properties);
        if (g->properties.deviceType == VK_PHYSICAL_DEVICE_TYPE_CPU && p.deviceType != VK_PHYSICAL_DEVICE_TYPE_CPU)
            which = i;
    }
    if (o->device >= 0) which = (uint32_t)o->device;
    g->physical = devices[which];
    vkGetPhysicalDeviceProperties(g->physical, &g->properties);
    return 0;
}

int main(int argc, char **argv)
{
    options o = {.device = -1, .size = 512, .repeat = 5};
    int code = parse(argc, argv, &o);
    if (code) return code;
    VkInstance instance;
    VkPhysicalDevice devices[MAX_DEVICES];
    uint32_t n = MAX_DEVICES;
    gpu g = {0};
    VkApplicationInfo app = {.sType = VK_STRUCTURE_TYPE_APPLICATION_INFO, .apiVersion = VK_API_VERSION_1_0};
    if (vkCreateInstance(
            &(VkInstanceCreateInfo){.sType = VK_STRUCTURE_TYPE_INSTANCE_CREATE_INFO, .pApplicationInfo = &app}, NULL,
            &instance) != VK_SUCCESS)
        return fail("no Vulkan here: is a driver installed? (mesa-vulkan-drivers)");
    VkResult r = vkEnumeratePhysicalDevices(instance, &n, devices);
    if ((r != VK_SUCCESS && r != VK_INCOMPLETE) || n == 0) {
        vkDestroyInstance(instance, NULL);
        return fail("no Vulkan device");
    }
    code = choose(devices, n, &o, &g);
    if (!code && !o.list) {
        g.bytes = (uint64_t)o.size << 20;
        if (g.bytes > g.properties.limits.maxStorageBufferRange)
            g.bytes = g.properties.limits.maxStorageBufferRange / 4096 * 4096;
        code = open_device(&g) || make_buffers(&g) || bind_buffers(&g) || make_pipelines(&g) || report(&g, &o);
    }
    close_device(&g);
    vkDestroyInstance(instance, NULL);
    return code;
}
