/* GPUs as the kernel shows them. Sources: the kernel's documentation of amdgpu (mem_info_vram_total, mem_info_gtt_total),
 * of KFD's topology (gfx_target_version), and of ttm.pages_limit. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "doctor.h"

#define GIB ((double)(1ll << 30))
#define STRIX_HALO 0x1586

typedef struct gpus {
    const tree *t;
    findings *f;
    int amd, nvidia, intel, render, closed; /* closed: render nodes that this user may not open */
    int pci_amd;                            /* AMD's display controllers on the bus, with a driver or without */
    unsigned first_amd; /* PCI device */
    double vram, gtt;
} gpus;

static unsigned hex_of(const tree *t, const char *card, const char *what)
{
    char path[160], line[32];
    snprintf(path, sizeof path, "/sys/class/drm/%.32s/device/%s", card, what);
    return tree_line(t, path, line, sizeof line) ? (unsigned)strtoul(line, NULL, 16) : 0;
}

static double bytes_of(const tree *t, const char *card, const char *what)
{
    char path[160];
    snprintf(path, sizeof path, "/sys/class/drm/%.32s/device/%s", card, what);
    return (double)tree_number(t, path, 0);
}

static void see_card(void *user, const char *name)
{
    gpus *g = user;
    int no, used = 0;
    if (sscanf(name, "renderD%d", &no) == 1) {
        char node[64];
        snprintf(node, sizeof node, "/dev/dri/renderD%d", no);
        g->render++;
        g->closed += tree_exists(g->t, node) && !tree_open_to_us(g->t, node);
    }
    if (sscanf(name, "card%d%n", &no, &used) != 1 || name[used]) return; /* card1-DP-1 is a connector */
    unsigned vendor = hex_of(g->t, name, "vendor");
    g->nvidia += vendor == 0x10de;
    g->intel += vendor == 0x8086;
    if (vendor != 0x1002) return;
    double vram = bytes_of(g->t, name, "mem_info_vram_total");
    if (g->amd++ && vram <= g->vram) return;
    g->first_amd = hex_of(g->t, name, "device");
    g->vram = vram;
    g->gtt = bytes_of(g->t, name, "mem_info_gtt_total");
}

static void see_device(void *user, const char *name)
{
    gpus *g = user;
    char path[96], line[32];
    snprintf(path, sizeof path, "/sys/bus/pci/devices/%.32s/vendor", name);
    if (!tree_line(g->t, path, line, sizeof line) || strtoul(line, NULL, 16) != 0x1002) return;
    snprintf(path, sizeof path, "/sys/bus/pci/devices/%.32s/class", name);
    g->pci_amd += tree_line(g->t, path, line, sizeof line) && strtoul(line, NULL, 16) >> 16 == 3; /* a display controller */
}

/* gfx_target_version 110501 is gfx1151: major, minor, stepping, the last in hex. */
static void see_node(void *user, const char *name)
{
    gpus *g = user;
    char path[96], value[32], text[32];
    snprintf(path, sizeof path, "/sys/class/kfd/kfd/topology/nodes/%.16s/properties", name);
    if (!tree_value(g->t, path, "gfx_target_version", value, sizeof value)) return;
    int v = atoi(value);
    if (v <= 0) return;
    snprintf(text, sizeof text, "gfx%d%d%x", v / 10000, v / 100 % 100, (unsigned)(v % 100));
    findings_fact_text(g->f, "gpu", "gfx target", text);
}

static void show_memory(gpus *g)
{
    char memory[64];
    double all = 0;
    if (tree_value(g->t, "/proc/meminfo", "MemTotal", memory, sizeof memory)) all = strtod(memory, NULL) * 1024;
    findings_fact(g->f, "gpu", "VRAM (carve-out), GiB", json_real(g->vram / GIB));
    findings_fact(g->f, "gpu", "GTT, GiB", json_real(g->gtt / GIB));
    if (g->first_amd != STRIX_HALO) return;
    char fix[200];
    double most = 0.875 * all / GIB; /* the rest is the system's */
    snprintf(fix, sizeof fix,
             "echo 'options ttm pages_limit=%.0f' | sudo tee /etc/modprobe.d/ttm.conf; sudo update-initramfs -u (or dracut -f); sudo reboot",
             most * 262144);
    if (g->gtt > 0 && g->vram + g->gtt < 0.75 * (all + g->vram))
        findings_addf(g->f, FINDING_NOTE, "gtt-small",
                      "models beyond it fail to load on the iGPU or are split with the CPU; the CPU can use all memory", fix,
                      "the iGPU may use %.1f GiB of %.1f (carve-out and GTT)", (g->vram + g->gtt) / GIB, (all + g->vram) / GIB);
    if (g->vram > 16 * GIB)
        findings_addf(g->f, FINDING_NOTE, "carve-out",
                      "memory that the BIOS gave the iGPU is lost to the CPU, mapped models included; GTT serves the iGPU as well",
                      "sudo systemctl reboot --firmware-setup (there: UMA frame buffer size to its least, 512 MB)",
                      "the BIOS keeps %.0f GiB for the iGPU alone", g->vram / GIB);
}

static void show_nodes(gpus *g)
{
    static const char join[] = "sudo usermod -aG render,video $USER (then log in again)";
    bool kfd = tree_exists(g->t, "/dev/kfd");
    findings_fact(g->f, "gpu", "/dev/kfd", json_boolean(kfd));
    findings_fact(g->f, "gpu", "render nodes", json_integer(g->render));
    if (!g->amd) return;
    if (!kfd)
        findings_add(g->f, FINDING_NOTE, "no-kfd", "/dev/kfd is not there",
                     "ROCm cannot see the GPU: the driver is without KFD, or the container without the device",
                     "docker run --device /dev/kfd --device /dev/dri --group-add video --group-add render ...");
    else if (!tree_open_to_us(g->t, "/dev/kfd"))
        findings_add(g->f, FINDING_NOTE, "kfd-group", "/dev/kfd is open to its group alone",
                     "programs of users outside of it fall back to the CPU without a word", join);
    if (g->closed)
        findings_add(g->f, FINDING_NOTE, "render-group", "/dev/dri's render nodes are open to their group alone",
                     "neither Vulkan nor ROCm finds the GPU for users outside of it", join);
}

/* A driver that computes on the CPU: Mesa's llvmpipe (lavapipe), SwiftShader. */
static bool is_software(const char *icd) { return strncmp(icd, "lvp_", 4) == 0 || strstr(icd, "swiftshader"); }

typedef struct icds {
    json_t *list;
    int of_gpus;
} icds;

static void see_icd(void *user, const char *name)
{
    icds *s = user;
    if (!strstr(name, ".json")) return;
    bool software = is_software(name);
    s->of_gpus += !software;
    json_array_append_new(s->list, software ? json_sprintf("%s (software: the CPU computes)", name) : json_string(name));
}

/* Drivers are installed together, for GPUs that are here and others: where there is no GPU, only software can answer. */
static void show_vulkan(gpus *g)
{
    icds s = {.list = json_array()};
    bool gpu = g->amd || g->nvidia || g->intel;
    tree_each(g->t, "/usr/share/vulkan/icd.d", see_icd, &s);
    tree_each(g->t, "/etc/vulkan/icd.d", see_icd, &s);
    size_t software = json_array_size(s.list) - (size_t)s.of_gpus;
    if (g->amd && s.of_gpus == 0)
        findings_add(g->f, FINDING_NOTE, "no-vulkan",
                     software ? "the only Vulkan driver here computes on the CPU" : "no Vulkan driver is installed",
                     "Vulkan is what works on this GPU where ROCm does not", "sudo apt install mesa-vulkan-drivers");
    else if (!gpu && software)
        findings_add(g->f, FINDING_NOTE, "software-vulkan", "no GPU is here, but a Vulkan driver that computes on the CPU (llvmpipe)",
                     "Vulkan builds of other engines may take it for a GPU: slower than their own CPU code, and no GPU's number",
                     "llama-server --device none");
    if (gpu || software) findings_fact(g->f, "gpu", "Vulkan drivers", s.list);
    else json_decref(s.list);
}

static void show_iommu(gpus *g)
{
    char line[2048];
    bool off = tree_line(g->t, "/proc/cmdline", line, sizeof line) &&
               (strstr(line, "amd_iommu=off") || strstr(line, "iommu=off"));
    bool on = !off && tree_exists(g->t, "/sys/class/iommu/ivhd0");
    findings_fact(g->f, "gpu", "IOMMU", json_boolean(on));
    if (on && g->first_amd == STRIX_HALO)
        findings_add(g->f, FINDING_NOTE, "iommu", "the IOMMU is on",
                     "it costs the iGPU some per cent of its reading; the CPU is not concerned",
                     "sudo grubby --update-kernel=ALL --args=amd_iommu=off (or GRUB_CMDLINE_LINUX in /etc/default/grub and update-grub), where no "
                     "virtual machine needs it");
}

void doctor_gpu(const tree *t, findings *f)
{
    gpus g = {.t = t, .f = f};
    char line[160];
    tree_each(t, "/sys/class/drm", see_card, &g);
    bool driver = tree_exists(t, "/sys/module/amdgpu");
    findings_fact(f, "gpu", "AMD", json_integer(g.amd));
    findings_fact(f, "gpu", "NVIDIA", json_integer(g.nvidia));
    if (g.intel) findings_fact(f, "gpu", "Intel", json_integer(g.intel));
    if (tree_line(t, "/proc/driver/nvidia/version", line, sizeof line))
        findings_fact_text(f, "gpu", "NVIDIA driver", line);
    findings_fact(f, "gpu", "amdgpu driver", json_boolean(driver));
    tree_each(t, "/sys/bus/pci/devices", see_device, &g);
    if (g.pci_amd && !g.amd)
        findings_add(f, FINDING_NOTE, "no-amdgpu", "a GPU of AMD's is there, and the driver amdgpu does not have it",
                     "neither ROCm nor Vulkan can find it, and other engines fall back to the CPU without a word",
                     "sudo modprobe amdgpu; sudo dmesg | grep -i amdgpu");
    show_vulkan(&g);
    if (!g.amd && !g.nvidia && !g.intel) return;
    if (g.amd) {
        snprintf(line, sizeof line, "1002:%04x%s", g.first_amd,
                 g.first_amd == STRIX_HALO ? " (Strix Halo: Radeon 8050S or 8060S)" : "");
        findings_fact_text(f, "gpu", "device", line);
        show_memory(&g);
        tree_each(t, "/sys/class/kfd/kfd/topology/nodes", see_node, &g);
    }
    show_nodes(&g);
    if (g.amd) show_iommu(&g);
    if (g.nvidia && !tree_exists(t, "/proc/driver/nvidia/version"))
        findings_add(f, FINDING_NOTE, "no-nvidia", "an NVIDIA card is there, its driver is not",
                     "CUDA builds fall back to the CPU without a word", "nvidia-smi");
}
